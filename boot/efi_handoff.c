/* What UEFI knows of the machine, in the handoff's words. */
#include "boot/efi.h"
#include "boot/ranges.h"

#define MAP_BYTES (192 * 1024)

static EFI_GUID acpi20_guid = ACPI_20_TABLE_GUID;
static EFI_GUID acpi10_guid = ACPI_TABLE_GUID;
static EFI_GUID gop_guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
static EFI_GUID network_guid = EFI_SIMPLE_NETWORK_PROTOCOL_GUID;

/* 7.2.3, table 7.10, as of after ExitBootServices: what the loader and boot services had is free. */
static enum handoff_kind kind_of(UINT32 type)
{
	switch (type) {
	case EfiLoaderCode:
	case EfiLoaderData:
	case EfiBootServicesCode:
	case EfiBootServicesData:
	case EfiConventionalMemory:
		return HANDOFF_RAM;
	case EfiACPIReclaimMemory:
		return HANDOFF_ACPI;
	case EfiACPIMemoryNVS:
		return HANDOFF_NVS;
	case EfiUnusableMemory:
		return HANDOFF_BAD;
	default:
		return HANDOFF_RESERVED;
	}
}

static void find_rsdp(struct handoff *h)
{
	void *table;

	if (!EFI_ERROR(LibGetSystemConfigurationTable(&acpi20_guid, &table)) ||
	    !EFI_ERROR(LibGetSystemConfigurationTable(&acpi10_guid, &table)))
		h->rsdp = (UINTN)table;
}

static void find_framebuffer(struct handoff *h)
{
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
	EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *info;

	if (EFI_ERROR(LibLocateProtocol(&gop_guid, (void **)&gop)) || !gop->Mode ||
	    !gop->Mode->Info)
		return;
	info = gop->Mode->Info;
	if (info->PixelFormat != PixelRedGreenBlueReserved8BitPerColor &&
	    info->PixelFormat != PixelBlueGreenRedReserved8BitPerColor)
		return; /* no linear 32-bit framebuffer */
	h->fb.base = gop->Mode->FrameBufferBase;
	h->fb.pitch = info->PixelsPerScanLine * 4;
	h->fb.width = info->HorizontalResolution;
	h->fb.height = info->VerticalResolution;
	h->fb.bgr = info->PixelFormat == PixelBlueGreenRedReserved8BitPerColor;
}

static void find_mac(struct handoff *h, const struct source *s)
{
	EFI_SIMPLE_NETWORK *net;

	if (EFI_ERROR(uefi_call_wrapper(BS->HandleProtocol, 3, s->device, &network_guid,
					(void **)&net)) ||
	    !net->Mode || net->Mode->HwAddressSize != 6)
		return;
	CopyMem(h->boot_mac, &net->Mode->CurrentAddress, 6);
}

void efi_handoff_platform(struct handoff *h, const struct source *s)
{
	find_rsdp(h);
	find_framebuffer(h);
	find_mac(h, s);
}

/* The firmware's map, and over it the ranges the loader has set for core and files. */
static BOOLEAN merge_map(struct handoff *h, const UINT8 *map, UINTN size, UINTN step,
			 const struct handoff_range *mine, UINT32 count)
{
	h->range_count = 0;
	for (UINTN at = 0; at + step <= size; at += step) {
		const EFI_MEMORY_DESCRIPTOR *d = (const EFI_MEMORY_DESCRIPTOR *)(map + at);

		if (!ranges_set(h, d->PhysicalStart, d->NumberOfPages * EFI_PAGE_SIZE,
				kind_of(d->Type)))
			return FALSE;
	}
	for (UINT32 i = 0; i < count; i++)
		if (!ranges_set(h, mine[i].base, mine[i].size, (enum handoff_kind)mine[i].kind))
			return FALSE;
	return TRUE;
}

EFI_STATUS efi_handoff_exit(EFI_HANDLE image, struct handoff *h)
{
	static struct handoff_range mine[HANDOFF_RANGES];
	UINT32 version, count = h->range_count;
	UINTN key, step, size;
	EFI_STATUS st;
	UINT8 *map = AllocatePool(MAP_BYTES);

	if (!map) {
		Print(L"amalgam: no room in memory for the firmware's memory map; add RAM\n");
		return EFI_OUT_OF_RESOURCES;
	}
	CopyMem(mine, h->ranges, count * sizeof(mine[0]));
	/* The first ExitBootServices may change the map (7.4.6); then it takes another look and try. */
	for (int tries = 0; tries < 8; tries++) {
		size = MAP_BYTES;
		st = uefi_call_wrapper(BS->GetMemoryMap, 5, &size, (EFI_MEMORY_DESCRIPTOR *)map,
				       &key, &step, &version);
		if (EFI_ERROR(st))
			break;
		if (!merge_map(h, map, size, step, mine, count)) {
			Print(L"amalgam: the firmware's memory map has more than %d pieces\n",
			      HANDOFF_RANGES);
			return EFI_BUFFER_TOO_SMALL;
		}
		st = uefi_call_wrapper(BS->ExitBootServices, 2, image, key);
		if (!EFI_ERROR(st))
			return EFI_SUCCESS;
	}
	Print(L"amalgam: the firmware does not end its boot services (%r)\n", st);
	return st;
}
