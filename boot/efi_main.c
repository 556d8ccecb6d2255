/*
 * amalgam.efi: started by iPXE, by the firmware's PXE, or from a disk. Collects options and files, puts
 * the core into memory, leaves UEFI and jumps. On an error it says so and returns to the firmware.
 */
#include "boot/coreload.h"
#include "boot/efi.h"
#include "boot/ranges.h"

#define CONFIG_NAME   "amalgam.cfg"
#define PATIENCE_SECS 15

extern const UINT8 core_elf[], core_elf_end[];

static struct handoff *handoff;
static struct config config;
static struct source source;

static UINT64 read_tsc(void)
{
	UINT32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (UINT64)hi << 32 | lo;
}

/* The compiler's names: what a function's frame ends with, and where one goes that finds it changed. */
UINTN __stack_chk_guard;
__attribute__((noreturn)) void __stack_chk_fail(void);

void __stack_chk_fail(void)
{
	Print(L"amalgam: the boot image overran a buffer on its stack; please report this\n");
	for (;;)
		__asm__ volatile("hlt");
}

/* Zeroed pages below 4 GiB that stay the core's. */
static void *get_core_pages(UINTN bytes)
{
	EFI_PHYSICAL_ADDRESS at = 0xffffffff;
	EFI_STATUS st = uefi_call_wrapper(BS->AllocatePages, 4, AllocateMaxAddress, EfiLoaderData,
					  EFI_SIZE_TO_PAGES(bytes), &at);

	if (EFI_ERROR(st)) {
		Print(L"amalgam: no %ld KiB of memory below 4 GiB for the core (%r); add RAM\n",
		      bytes >> 10, st);
		return NULL;
	}
	ZeroMem((void *)(UINTN)at, EFI_SIZE_TO_PAGES(bytes) * EFI_PAGE_SIZE);
	return (void *)(UINTN)at;
}

static void add_text(const char *text, UINTN size)
{
	UINTN n = 0;

	while (n < sizeof(handoff->cmdline) - 1 && handoff->cmdline[n])
		n++;
	if (n && n < sizeof(handoff->cmdline) - 1)
		handoff->cmdline[n++] = ' ';
	for (UINTN i = 0; i < size && text[i]; i++) {
		if (n == sizeof(handoff->cmdline) - 1) {
			handoff->cmdline_cut = 1;
			return;
		}
		handoff->cmdline[n++] = text[i];
	}
}

static BOOLEAN ends_with_efi(const char *word, UINTN n)
{
	return n >= 4 && word[n - 4] == '.' && (word[n - 3] | 32) == 'e' &&
	       (word[n - 2] | 32) == 'f' && (word[n - 1] | 32) == 'i';
}

/* iPXE and the UEFI shell put the file's name first; boot entries of the firmware do not. */
static void take_load_options(EFI_LOADED_IMAGE *self)
{
	static char text[HANDOFF_CMDLINE + 256];
	const CHAR16 *from = self->LoadOptions;
	UINTN n = 0, first = 0;

	for (UINTN i = 0;
	     from && i < self->LoadOptionsSize / sizeof(CHAR16) && from[i] && n < sizeof(text) - 1;
	     i++) {
		if (from[i] > 126 || (from[i] < 32 && from[i] != L'\t'))
			return; /* not text: optional data of a boot entry */
		text[n++] = (char)from[i];
	}
	while (first < n && text[first] != ' ')
		first++;
	if (!ends_with_efi(text, first))
		first = 0;
	while (first < n && text[first] == ' ')
		first++;
	if (first < n)
		add_text(text + first, n - first);
}

static EFI_STATUS read_config(void)
{
	char why[CONFIG_WHY];
	struct blob file;
	EFI_STATUS st = efi_source_read(&source, CONFIG_NAME, &file);

	if (st == EFI_NOT_FOUND)
		return EFI_SUCCESS;
	if (EFI_ERROR(st))
		return st;
	if (config_parse((const char *)file.data, (UINT32)file.size, &config, why)) {
		Print(L"amalgam: %a\n", why);
		return EFI_LOAD_ERROR;
	}
	add_text(config.options, sizeof(config.options));
	return EFI_SUCCESS;
}

static EFI_STATUS add_file(const char *name, const char *args)
{
	struct handoff_file *f;
	struct blob file;
	EFI_STATUS st;

	if (handoff->file_count == HANDOFF_FILES) {
		Print(L"amalgam: more than %d boot files; leave some out\n", HANDOFF_FILES);
		return EFI_OUT_OF_RESOURCES;
	}
	st = efi_source_read(&source, name, &file);
	if (st == EFI_NOT_FOUND)
		Print(L"amalgam: boot file '%a' is not there; "
		      L"put it beside amalgam.efi or correct amalgam.cfg\n",
		      name);
	if (EFI_ERROR(st))
		return st;
	f = &handoff->files[handoff->file_count++];
	f->base = (UINTN)file.data;
	f->size = file.size;
	for (UINTN i = 0; i < HANDOFF_NAME - 1 && name[i]; i++)
		f->name[i] = name[i];
	for (UINTN i = 0; i < HANDOFF_ARGS - 1 && args[i]; i++)
		f->args[i] = args[i];
	ranges_set(handoff, f->base, EFI_SIZE_TO_PAGES(f->size) * EFI_PAGE_SIZE, HANDOFF_FILE);
	return EFI_SUCCESS;
}

static BOOLEAN is_own_file(const char *name)
{
	UINTN n = strlena((const CHAR8 *)name);

	return ends_with_efi(name, n) ||
	       strcmpa((const CHAR8 *)name, (const CHAR8 *)CONFIG_NAME) == 0;
}

/* The files the configuration names; from iPXE, without one that names any, all it has. */
static EFI_STATUS read_files(void)
{
	EFI_STATUS st = EFI_SUCCESS;
	char name[HANDOFF_NAME];

	for (UINT32 i = 0; i < config.file_count && !EFI_ERROR(st); i++)
		st = add_file(config.files[i].name, config.files[i].args);
	if (config.file_count || !source.ipxe)
		return st;
	for (UINTN i = 0; !EFI_ERROR(st) && efi_source_list(&source, i, name); i++)
		if (!is_own_file(name))
			st = add_file(name, "");
	return st;
}

/* A little above what is there now, for what boot services still allocate. */
static UINT64 ram_top(void)
{
	UINTN entries, key, step;
	UINT32 version;
	UINT64 top = 0;
	EFI_MEMORY_DESCRIPTOR *map = LibMemoryMap(&entries, &key, &step, &version);

	for (UINTN i = 0; map && i < entries; i++) {
		const EFI_MEMORY_DESCRIPTOR *d = (const void *)((const UINT8 *)map + i * step);
		UINT64 end = d->PhysicalStart + d->NumberOfPages * EFI_PAGE_SIZE;

		if (d->Type != EfiMemoryMappedIO && d->Type != EfiReservedMemoryType && end > top)
			top = end;
	}
	if (map)
		FreePool(map);
	return top;
}

__attribute__((noreturn)) static void jump(UINT64 cr3, UINT64 entry)
{
	__asm__ volatile("cli\n\tmov %0, %%cr3\n\tjmp *%1" ::"r"(cr3), "r"(entry), "D"(handoff)
			 : "memory");
	__builtin_unreachable();
}

static EFI_STATUS start_core(EFI_HANDLE image)
{
	struct coreload core;
	const char *bad = coreload_plan(&core, core_elf, (UINT32)(core_elf_end - core_elf),
					ram_top(), coreload_cpu_has_gib_pages());
	UINT8 *at, *tables;
	EFI_STATUS st;
	UINT64 cr3;

	if (bad) {
		Print(L"amalgam: %a\n", bad);
		return EFI_LOAD_ERROR;
	}
	at = get_core_pages(core.image_bytes);
	tables = get_core_pages(core.table_bytes);
	if (!at || !tables)
		return EFI_OUT_OF_RESOURCES;
	coreload_place(&core, at);
	cr3 = coreload_tables(&core, tables, (UINTN)at);
	handoff->core_base = (UINTN)at;
	handoff->core_size = core.image_bytes;
	ranges_set(handoff, (UINTN)at, core.image_bytes, HANDOFF_CORE);
	ranges_set(handoff, (UINTN)tables, core.table_bytes, HANDOFF_CORE);
	efi_handoff_platform(handoff, &source);
	st = efi_handoff_exit(image, handoff);
	if (EFI_ERROR(st))
		return st;
	jump(cr3, core.entry);
}

/* CR4.LA57 can't be changed with paging on (SDM vol. 3, 4.5), and the core's tables have 4 levels. */
static BOOLEAN has_five_levels(void)
{
	UINT64 cr4;

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	if (!(cr4 >> 12 & 1))
		return FALSE;
	Print(L"amalgam: the firmware runs with 5-level paging; switch that off in its setup, "
	      L"or boot with BIOS\n");
	return TRUE;
}

static EFI_STATUS run(EFI_HANDLE image)
{
	EFI_LOADED_IMAGE *self;
	UINT64 tsc = read_tsc();
	EFI_STATUS st = uefi_call_wrapper(BS->HandleProtocol, 3, image, &LoadedImageProtocol,
					  (void **)&self);

	if (EFI_ERROR(st))
		return st;
	if (has_five_levels())
		return EFI_UNSUPPORTED;
	handoff = get_core_pages(sizeof(*handoff));
	if (!handoff)
		return EFI_OUT_OF_RESOURCES;
	handoff->magic = HANDOFF_MAGIC;
	handoff->version = HANDOFF_VERSION;
	handoff->size = sizeof(*handoff);
	handoff->loader = HANDOFF_UEFI;
	handoff->start_tsc = tsc;
	ranges_set(handoff, (UINTN)handoff, EFI_SIZE_TO_PAGES(sizeof(*handoff)) * EFI_PAGE_SIZE,
		   HANDOFF_CORE);
	efi_source_find(self, &source);
	st = read_config();
	if (EFI_ERROR(st))
		return st;
	take_load_options(self);
	st = read_files();
	if (EFI_ERROR(st))
		return st;
	return start_core(image);
}

/* Not inlined: its caller has no canary. */
__attribute__((noinline)) static EFI_STATUS load(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
	EFI_STATUS st;

	InitializeLib(image, system);
	/* 7.5: the firmware would reset the machine after 5 minutes; the core needs no such guard. */
	uefi_call_wrapper(BS->SetWatchdogTimer, 4, 0, 0, 0, NULL);
	Print(L"Amalgam: loading\n");
	st = run(image);
	Print(L"amalgam: not started; back to the firmware in %d seconds\n", PATIENCE_SECS);
	uefi_call_wrapper(BS->Stall, 1, PATIENCE_SECS * 1000000);
	return st;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

/* Sets the canary, so it can't have one itself; the canary's first byte ends any string. */
__attribute__((no_stack_protector)) EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
	__stack_chk_guard = (read_tsc() * 0x9e3779b97f4a7c15) << 8;
	return load(image, system);
}
