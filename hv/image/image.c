/*
 * The bytes of an image. One function knows the order of all fields and goes through them for writing and for
 * reading, so the two can't differ. Numbers are little-endian, as the CPUs on both ends are.
 */
#include "hv/image/image.h"

#include "hv/base/assert.h"
#include "hv/base/string.h"

#define IMAGE_MAGIC 0x55504356u /* "VCPU" */

struct codec {
	uint8_t *out;      /* NULL: reads */
	const uint8_t *in; /* NULL: writes */
	size_t at;
	const char *broken; /* the first field that has no such value */
};

/* --- Kinds of fields --- */

static void bytes(struct codec *c, void *field, size_t size)
{
	ASSERT(c->at + size <= IMAGE_BYTES);
	if (c->out)
		memcpy(c->out + c->at, field, size);
	else
		memcpy(field, c->in + c->at, size);
	c->at += size;
}

/* A number in an object of its own size. */
#define NUMBER(c, field) bytes(c, &(field), sizeof(field))

/* One byte; a value from `count` on is none. */
static unsigned choice(struct codec *c, unsigned value, unsigned count, const char *name)
{
	uint8_t byte = (uint8_t)value;

	NUMBER(c, byte);
	if (byte < count)
		return byte;
	if (!c->broken)
		c->broken = name;
	return 0;
}

static void flag(struct codec *c, bool *field, const char *name)
{
	*field = choice(c, *field, 2, name);
}

/* --- Structures --- */

static void segment(struct codec *c, struct virt_seg *seg)
{
	NUMBER(c, seg->selector);
	NUMBER(c, seg->limit);
	NUMBER(c, seg->base);
	seg->type = (uint8_t)choice(c, seg->type, 16, "a segment's type");
	seg->dpl = (uint8_t)choice(c, seg->dpl, 4, "a segment's level");
	flag(c, &seg->s, "a segment's S");
	flag(c, &seg->present, "a segment's P");
	flag(c, &seg->avl, "a segment's AVL");
	flag(c, &seg->l, "a segment's L");
	flag(c, &seg->db, "a segment's D");
	flag(c, &seg->g, "a segment's G");
	flag(c, &seg->unusable, "a segment's usability");
}

static void cpu_state(struct codec *c, struct virt_state *st)
{
	NUMBER(c, st->gpr);
	NUMBER(c, st->reg);
	for (unsigned i = 0; i < SEG_COUNT; i++)
		segment(c, &st->seg[i]);
	NUMBER(c, st->msr);
	NUMBER(c, st->dr6);
	NUMBER(c, st->pending_debug);
	st->shadow = choice(c, st->shadow, VIRT_SHADOWS, "the interrupt shadow");
	flag(c, &st->nmi_blocked, "the blocking of NMIs");
	flag(c, &st->shutdown, "the shutdown");
	st->queued = choice(c, st->queued, VIRT_QUEUED_KINDS, "the queued event");
	flag(c, &st->half_delivered, "the delivery of an event");
	flag(c, &st->has_code, "the error code");
	NUMBER(c, st->vector);
	NUMBER(c, st->insn_len);
	NUMBER(c, st->code);
	flag(c, &st->pdptes_loaded, "the page-directory pointers");
	NUMBER(c, st->pdpte);
}

static void xstate(struct codec *c, struct xstate *x)
{
	NUMBER(c, x->xcr0);
	NUMBER(c, x->bv);
	flag(c, &x->wide, "the FPU's pointers");
	NUMBER(c, x->legacy);
	NUMBER(c, x->avx);
	NUMBER(c, x->opmask);
	NUMBER(c, x->zmm_hi256);
	NUMBER(c, x->hi16_zmm);
}

static void lapic(struct codec *c, struct lapic_state *l)
{
	NUMBER(c, l->base_msr);
	NUMBER(c, l->reg);
	flag(c, &l->wait_sipi, "the LAPIC's wait for SIPI");
	flag(c, &l->error_armed, "the LAPIC's error interrupt");
	NUMBER(c, l->lint);
	NUMBER(c, l->errors);
	flag(c, &l->armed, "the LAPIC's timer");
	NUMBER(c, l->first);
	NUMBER(c, l->start);
	NUMBER(c, l->fired);
	NUMBER(c, l->tsc_deadline);
}

static void fields(struct codec *c, struct image *image)
{
	NUMBER(c, image->cpu);
	image->state = choice(c, image->state, VCPU_RUNNING + 1, "its activity");
	flag(c, &image->nmi_pending, "its pending NMI");
	flag(c, &image->extint, "its pending ExtINT");
	flag(c, &image->pv_unhalt, "its pending kick");
	cpu_state(c, &image->cpu_state);
	NUMBER(c, image->dr);
	xstate(c, &image->xstate);
	lapic(c, &image->lapic);
	NUMBER(c, image->posted.edge);
	NUMBER(c, image->posted.level);
	NUMBER(c, image->posted.events);
	NUMBER(c, image->kvm_clock_msr);
	NUMBER(c, image->kvm_wall_msr);
	NUMBER(c, image->misc_enable);
	ASSERT(c->at == IMAGE_BYTES);
}

/* --- The whole --- */

/* In front of the fields; the length is that of all. */
struct header {
	uint32_t magic;
	uint16_t version;
	uint16_t zero;
	uint32_t length;
} PACKED;
ASSERT_SIZE(struct header, 12);

static const struct header header = {IMAGE_MAGIC, IMAGE_VERSION, 0, IMAGE_BYTES};

void image_encode(const struct image *image, uint8_t out[IMAGE_BYTES])
{
	struct codec c = {.out = out};
	struct image copy = *image;
	struct header h = header;

	bytes(&c, &h, sizeof(h));
	fields(&c, &copy);
	ASSERT(!c.broken);
}

static int check_header(const void *from, size_t size, struct why *why)
{
	struct header h = {0};

	memcpy(&h, from, MIN(size, sizeof(h)));
	if (size < sizeof(h) || h.magic != IMAGE_MAGIC)
		return why_set(why, ERR_INVALID, "these %zu bytes are no image of a vCPU", size);
	if (h.version != IMAGE_VERSION)
		return why_set(why, ERR_UNSUPPORTED,
			       "the image of a vCPU is of version %u, and this program reads "
			       "version %u; all nodes have to run the same version",
			       h.version, IMAGE_VERSION);
	if (h.zero || h.length != IMAGE_BYTES || size != IMAGE_BYTES)
		return why_set(why, ERR_INVALID,
			       "the image of a vCPU has %zu bytes and says %u; it has to have %u",
			       size, h.length, IMAGE_BYTES);
	return 0;
}

static int check_xstate(const struct xstate *x, struct why *why)
{
	if ((x->xcr0 && !xcr0_valid(x->xcr0, XCR0_KNOWN)) || x->bv & ~XCR0_KNOWN)
		return why_set(why, ERR_INVALID,
			       "a vCPU with impossible XCR0 %#llx, or state %#llx",
			       (unsigned long long)x->xcr0, (unsigned long long)x->bv);
	return 0;
}

/* A vCPU waits for SIPI exactly when its LAPIC does; only the boot CPU's never does. */
static int check_whole(const struct image *image, struct why *why)
{
	bool waits = image->state == VCPU_WAIT_SIPI;

	if (image->cpu >= VM_MAX_CPUS || waits != image->lapic.wait_sipi ||
	    image->misc_enable & ~1ull)
		return why_set(why, ERR_INVALID,
			       "vCPU %u, in activity state %u, with IA32_MISC_ENABLE %#llx",
			       image->cpu, image->state, (unsigned long long)image->misc_enable);
	return 0;
}

int image_decode(const void *from, size_t size, struct image *out, struct why *why)
{
	struct codec c = {.in = from, .at = sizeof(struct header)};
	struct why what = {""};
	int err = check_header(from, size, why);

	if (err)
		return err;
	memset(out, 0, sizeof(*out));
	fields(&c, out);
	if (c.broken)
		return why_set(why, ERR_INVALID,
			       "the image of a vCPU has an impossible value for %s", c.broken);
	if ((err = virt_state_check(&out->cpu_state, &what)) ||
	    (err = check_xstate(&out->xstate, &what)) ||
	    (err = lapic_state_check(&out->lapic, &what)) ||
	    (err = apic_posted_check(&out->posted, &what)) || (err = check_whole(out, &what)))
		return why_set(why, err, "the image is of no vCPU that could be: %s", what.text);
	return 0;
}
