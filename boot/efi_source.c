/* Reading files from where the loader came from: iPXE, an EFI system partition, or TFTP. */
#include "boot/efi.h"

#define TFTP_BLOCK 1428 /* fills a standard Ethernet frame */

static EFI_GUID file_system_guid = SIMPLE_FILE_SYSTEM_PROTOCOL;
static EFI_GUID volume_info_guid = EFI_FILE_SYSTEM_INFO_ID;
static EFI_GUID file_info_guid = EFI_FILE_INFO_ID;
static EFI_GUID pxe_guid = EFI_PXE_BASE_CODE_PROTOCOL_GUID;

/* 13.5.16: iPXE labels its file system with its name. */
static BOOLEAN is_ipxe(EFI_FILE_HANDLE root)
{
	static UINT8 buf[sizeof(EFI_FILE_SYSTEM_INFO) + 128];
	EFI_FILE_SYSTEM_INFO *info = (EFI_FILE_SYSTEM_INFO *)buf;
	UINTN size = sizeof(buf) - sizeof(CHAR16);

	ZeroMem(buf, sizeof(buf));
	if (EFI_ERROR(uefi_call_wrapper(root->GetInfo, 4, root, &volume_info_guid, &size, buf)))
		return FALSE;
	return StrCmp(info->VolumeLabel, L"iPXE") == 0;
}

/* The path up to and with the last backslash. */
static void directory_of(EFI_DEVICE_PATH *path, CHAR16 *out, UINTN max)
{
	CHAR16 *text = DevicePathToStr(path);
	UINTN end = 0;

	out[0] = 0;
	if (!text)
		return;
	for (UINTN i = 0; text[i]; i++)
		if (text[i] == L'\\' || text[i] == L'/')
			end = i + 1;
	if (end < max) {
		CopyMem(out, text, end * sizeof(CHAR16));
		out[end] = 0;
	}
	FreePool(text);
}

/* RFC 951: the boot file's name, and before it the folder the other files are in. */
static void tftp_directory_of(EFI_PXE_BASE_CODE *pxe, CHAR8 *out, UINTN max)
{
	EFI_PXE_BASE_CODE_MODE *mode = pxe->Mode;
	EFI_PXE_BASE_CODE_PACKET *packet =
		mode->ProxyOfferReceived ? &mode->ProxyOffer : &mode->DhcpAck;
	const UINT8 *file = packet->Dhcpv4.BootpBootFile;
	UINTN end = 0;

	if (mode->PxeReplyReceived)
		file = mode->PxeReply.Dhcpv4.BootpBootFile;
	for (UINTN i = 0; i < 127 && file[i]; i++)
		if (file[i] == '/')
			end = i + 1;
	if (end >= max)
		end = 0;
	CopyMem(out, (void *)file, end);
	out[end] = 0;
}

void efi_source_find(EFI_LOADED_IMAGE *self, struct source *s)
{
	EFI_FILE_IO_INTERFACE *fs;

	ZeroMem(s, sizeof(*s));
	s->device = self->DeviceHandle;
	if (!EFI_ERROR(uefi_call_wrapper(BS->HandleProtocol, 3, s->device, &file_system_guid,
					 (void **)&fs)) &&
	    !EFI_ERROR(uefi_call_wrapper(fs->OpenVolume, 2, fs, &s->root))) {
		s->ipxe = is_ipxe(s->root);
		if (!s->ipxe)
			directory_of(self->FilePath, s->directory,
				     sizeof(s->directory) / sizeof(CHAR16));
		return;
	}
	s->root = NULL;
	if (EFI_ERROR(uefi_call_wrapper(BS->HandleProtocol, 3, s->device, &pxe_guid,
					(void **)&s->pxe)) ||
	    !s->pxe->Mode || !s->pxe->Mode->Started)
		s->pxe = NULL;
	else
		tftp_directory_of(s->pxe, s->tftp_directory, sizeof(s->tftp_directory));
}

static EFI_STATUS get_pages(struct blob *b)
{
	EFI_PHYSICAL_ADDRESS at = 0;
	EFI_STATUS st = uefi_call_wrapper(BS->AllocatePages, 4, AllocateAnyPages, EfiLoaderData,
					  EFI_SIZE_TO_PAGES(b->size) + (b->size == 0), &at);

	if (EFI_ERROR(st))
		Print(L"amalgam: no room in memory for a file of %ld bytes (%r); add RAM\n",
		      b->size, st);
	b->data = (UINT8 *)(UINTN)at;
	return st;
}

/* Directory and name into UCS-2; '/' becomes '\\'. */
static void file_path(const struct source *s, const char *name, CHAR16 *out, UINTN max)
{
	UINTN n = 0;

	for (; s->directory[n] && n + 1 < max; n++)
		out[n] = s->directory[n];
	for (; *name && n + 1 < max; name++)
		out[n++] = *name == '/' ? L'\\' : (CHAR16)*name;
	out[n] = 0;
}

static EFI_STATUS file_size(EFI_FILE_HANDLE file, UINTN *size)
{
	static UINT8 buf[sizeof(EFI_FILE_INFO) + 512];
	UINTN n = sizeof(buf);
	EFI_STATUS st = uefi_call_wrapper(file->GetInfo, 4, file, &file_info_guid, &n, buf);

	*size = (UINTN)((EFI_FILE_INFO *)buf)->FileSize;
	return st;
}

static EFI_STATUS read_file(struct source *s, const char *name, struct blob *out)
{
	CHAR16 path[256];
	EFI_FILE_HANDLE file;
	EFI_STATUS st;
	UINTN got;

	file_path(s, name, path, sizeof(path) / sizeof(CHAR16));
	st = uefi_call_wrapper(s->root->Open, 5, s->root, &file, path, EFI_FILE_MODE_READ, 0);
	if (EFI_ERROR(st))
		return EFI_NOT_FOUND;
	st = file_size(file, &out->size);
	if (!EFI_ERROR(st))
		st = get_pages(out);
	got = out->size;
	if (!EFI_ERROR(st))
		st = uefi_call_wrapper(file->Read, 3, file, &got, out->data);
	uefi_call_wrapper(file->Close, 1, file);
	if (!EFI_ERROR(st) && got != out->size)
		st = EFI_DEVICE_ERROR;
	if (EFI_ERROR(st)) {
		Print(L"amalgam: file '%a' can't be read whole (%r); check the medium\n", name, st);
		st = EFI_LOAD_ERROR;
	}
	return st;
}

/* 24.3.5: Mtftp; the server is the one that served this loader. */
static EFI_STATUS tftp(struct source *s, EFI_PXE_BASE_CODE_TFTP_OPCODE op, UINT8 *path, void *buf,
		       UINT64 *size)
{
	EFI_PXE_BASE_CODE_MODE *mode = s->pxe->Mode;
	EFI_IP_ADDRESS server;
	UINTN block = TFTP_BLOCK;
	UINT8 *si = mode->PxeReplyReceived     ? mode->PxeReply.Dhcpv4.BootpSiAddr
		    : mode->ProxyOfferReceived ? mode->ProxyOffer.Dhcpv4.BootpSiAddr
					       : mode->DhcpAck.Dhcpv4.BootpSiAddr;

	ZeroMem(&server, sizeof(server));
	CopyMem(&server.v4, si, 4);
	return uefi_call_wrapper(s->pxe->Mtftp, 10, s->pxe, op, buf, FALSE, size, &block, &server,
				 path, NULL, FALSE);
}

static EFI_STATUS read_tftp(struct source *s, const char *name, struct blob *out)
{
	UINT8 path[256];
	UINT64 size = 0;
	EFI_STATUS st;
	UINTN n = 0;

	for (const CHAR8 *p = s->tftp_directory; *p && n < sizeof(path) - 1; p++)
		path[n++] = *p;
	while (*name && n < sizeof(path) - 1)
		path[n++] = (UINT8)*name++;
	path[n] = 0;
	if (EFI_ERROR(tftp(s, EFI_PXE_BASE_CODE_TFTP_GET_FILE_SIZE, path, NULL, &size)))
		return EFI_NOT_FOUND;
	out->size = (UINTN)size;
	st = get_pages(out);
	if (EFI_ERROR(st))
		return st;
	st = tftp(s, EFI_PXE_BASE_CODE_TFTP_READ_FILE, path, out->data, &size);
	if (EFI_ERROR(st)) {
		Print(L"amalgam: TFTP of '%a' broke off (%r); check the server's log\n", path, st);
		return EFI_LOAD_ERROR;
	}
	return EFI_SUCCESS;
}

EFI_STATUS efi_source_read(struct source *s, const char *name, struct blob *out)
{
	ZeroMem(out, sizeof(*out));
	if (s->root)
		return read_file(s, name, out);
	if (s->pxe)
		return read_tftp(s, name, out);
	return EFI_NOT_FOUND;
}

BOOLEAN efi_source_list(struct source *s, UINTN index, char name[HANDOFF_NAME])
{
	static UINT8 buf[sizeof(EFI_FILE_INFO) + 512];
	EFI_FILE_INFO *info = (EFI_FILE_INFO *)buf;
	UINTN i, n;

	uefi_call_wrapper(s->root->SetPosition, 2, s->root, 0);
	for (i = 0;; i++) {
		UINTN size = sizeof(buf);

		if (EFI_ERROR(uefi_call_wrapper(s->root->Read, 3, s->root, &size, buf)) ||
		    size == 0)
			return FALSE;
		if (i == index)
			break;
	}
	for (n = 0; n < HANDOFF_NAME - 1 && info->FileName[n]; n++)
		name[n] = (char)info->FileName[n];
	name[n] = 0;
	return TRUE;
}
