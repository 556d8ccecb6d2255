/* What the parts of the UEFI loader share. UEFI Specification 2.10; section numbers stand at the code. */
#ifndef BOOT_EFI_H
#define BOOT_EFI_H

#include <efi.h>
#include <efilib.h>

#include "boot/config.h"
#include "boot/handoff.h"

/* Where the loader came from, and so where its files are: a file system, or a TFTP server. */
struct source {
	EFI_HANDLE device;
	EFI_FILE_HANDLE root;  /* NULL: no file system */
	BOOLEAN ipxe;          /* the file system is iPXE's: it holds just the files of this boot */
	CHAR16 directory[128]; /* of the loader itself, ends with '\\' */
	EFI_PXE_BASE_CODE *pxe;    /* NULL: not netbooted by the firmware */
	CHAR8 tftp_directory[128]; /* ends with '/' when not empty */
};

/* A file in memory; `pages` whole pages from AllocatePages. */
struct blob {
	UINT8 *data;
	UINTN size;
};

void efi_source_find(EFI_LOADED_IMAGE *self, struct source *s);
/*
 * Reads a whole file. EFI_NOT_FOUND when there is none of that name; any other error has been printed
 * with a sentence.
 */
EFI_STATUS efi_source_read(struct source *s, const char *name, struct blob *out);
/* Name of file number `index` in iPXE's directory; FALSE when there are no more. */
BOOLEAN efi_source_list(struct source *s, UINTN index, char name[HANDOFF_NAME]);

/* Fills memory map, RSDP, framebuffer and boot MAC; efi_handoff.c. */
void efi_handoff_platform(struct handoff *h, const struct source *s);
/* Ends boot services; the map then covers all memory. Prints and returns an error if it can't. */
EFI_STATUS efi_handoff_exit(EFI_HANDLE image, struct handoff *h);

#endif
