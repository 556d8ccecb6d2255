/*
 * Writes ACPI Machine Language straight into guest memory. What has a length is opened, filled and
 * closed; names are four characters, with a leading '\' where one is wanted. ACPI 6.5, chapter 20;
 * resource descriptors: 6.4.
 */
#ifndef GUEST_AML_H
#define GUEST_AML_H

#include "guest/gmem_out.h"

struct aml_block {
	gpa_t length; /* where its PkgLength is */
	gpa_t size;   /* a buffer's: where its size is */
};

struct aml_block aml_scope(struct gmem_out *o, const char *name);
struct aml_block aml_device(struct gmem_out *o, const char *name);
/* Not serialized. */
struct aml_block aml_method(struct gmem_out *o, const char *name, unsigned args);
struct aml_block aml_package(struct gmem_out *o, uint8_t elements);
/* The predicate follows, then what is done. */
struct aml_block aml_if(struct gmem_out *o);
void aml_close(struct gmem_out *o, struct aml_block block);

/* Name (name, ...): the object follows. */
void aml_name(struct gmem_out *o, const char *name);
/* A reference to a named object. */
void aml_ref(struct gmem_out *o, const char *name);
void aml_integer(struct gmem_out *o, uint32_t v);
/* Return (...): the value follows. */
void aml_return(struct gmem_out *o);
/* Store (Arg0, name) */
void aml_store_arg0(struct gmem_out *o, const char *name);
/* Name (_HID, EisaId (id)), for ids like "PNP0A03". */
void aml_hid(struct gmem_out *o, const char *id);

/* Name (_CRS, ResourceTemplate () { ... }) */
struct aml_block aml_resources(struct gmem_out *o);
void aml_resources_end(struct gmem_out *o, struct aml_block block);
void aml_io(struct gmem_out *o, uint16_t base, uint8_t length);
void aml_irq(struct gmem_out *o, unsigned irq);
/* Ranges that a bus passes on; first and last included. */
void aml_bus_range(struct gmem_out *o, uint16_t first, uint16_t last);
void aml_io_range(struct gmem_out *o, uint16_t first, uint16_t last);
void aml_memory_range(struct gmem_out *o, uint32_t first, uint32_t last);

#endif
