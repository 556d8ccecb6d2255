#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/cluster/mutant.h"
#include "hv/cluster/remote.h"
#include "hv/cluster/share.h"
#include "hv/x86/tsc.h"

/* After the end: the others may still miss this node's last words. */
#define LINGER_NS (500 * NS_PER_MS)

/* --- Joining --- */

/* The head's vCPUs come first, then those of the others as the nodes are numbered. */
static int number_cpus(struct vm *vm, const struct cluster *c, struct why *why)
{
	struct vm_nodes *n = &vm->nodes;

	vm->cpu_count = 0;
	for (unsigned turn = 0; turn <= c->count; turn++) {
		unsigned node = turn ? turn - 1 : n->head, cpus = c->members[node].cpus;

		if (turn && node == n->head)
			continue;
		if (vm->cpu_count + cpus > VM_MAX_CPUS)
			return why_set(why, ERR_RANGE,
				       "the nodes have more than %u CPUs together; "
				       "give some of them fewer (cpus=)",
				       VM_MAX_CPUS);
		if (node == n->self) {
			n->first_cpu = vm->cpu_count;
			n->local_cpus = cpus;
		}
		n->most_cpus = MAX(n->most_cpus, cpus);
		for (unsigned i = 0; i < cpus; i++)
			places_set(&vm->places, vm->cpu_count++, (struct place){node, 0});
	}
	return 0;
}

static void read_parts(const struct vm *vm, const struct cluster *c, struct parts *parts)
{
	*parts = (struct parts){
		.sizes = vm->share->config, .count = c->count, .most_cpus = vm->nodes.most_cpus};
	for (unsigned i = 0; i < c->count; i++) {
		parts->node[i].ram = c->members[i].ram;
		parts->node[i].cpus = c->members[i].cpus;
	}
}

/* Until the head has said what machine this is. */
static int wait_for_config(struct vm *vm, struct why *why)
{
	struct link *l = vm->link;

	while (!(vm->remote->configured & BIT(vm->nodes.head))) {
		if (uplink_ended(l->wire))
			return why_set(why, ERR_NOTFOUND, "%s", uplink_ended(l->wire));
		link_poll(l);
	}
	return 0;
}

static int wait_for_members(struct vm *vm, struct why *why)
{
	struct link *l = vm->link;

	while (!uplink_up(l->wire, &vm->nodes.self, &vm->nodes.head)) {
		if (uplink_ended(l->wire))
			return why_set(why, ERR_NOTFOUND, "%s", uplink_ended(l->wire));
		link_poll(l);
	}
	return 0;
}

static void log_cpus(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->cpu_count; i++) {
		unsigned node = places_node(&vm->places, i);

		log_info(LOG_CLUSTER, "vCPU %u is on node %u%s", i, node,
			 node == vm->nodes.head ? ", the head" : "");
	}
}

/* What machine this is. The head decides it, so that it fits on all nodes. */
static int configure(struct vm *vm, const struct parts *parts, uint64_t mem, struct why *why)
{
	struct node_config *config = &vm->remote->config[vm->nodes.head];

	config->ram_bytes = mem ? align_down(mem, PARTS_GUEST_UNITS) : parts_most(parts);
	config->tsc_hz = tsc_hz();
	/* The least of guests that makes sense, for the sentence. */
	if (parts_check(parts, MAX(config->ram_bytes, PARTS_GUEST_UNITS), why))
		return ERR_NOMEM;
	link_send_all(vm->link, NODE_CONFIG, config, sizeof(*config));
	return 0;
}

static bool sensible(const struct node_config *c)
{
	return c->ram_bytes && c->ram_bytes % PARTS_GUEST_UNITS == 0 && c->ram_bytes <= BIT(46) &&
	       c->tsc_hz >= LAPIC_HZ_MIN && c->tsc_hz <= LAPIC_HZ_MAX;
}

int remote_join(struct vm *vm, uint64_t mem, struct parts *parts, struct why *why)
{
	const struct cluster *c = uplink_cluster(vm->link->wire);
	const struct node_config *config;
	int err = wait_for_members(vm, why);

	if (!err)
		err = number_cpus(vm, c, why);
	if (err)
		return err;
	read_parts(vm, c, parts);
	err = link_members(vm->link, parts, why);
	if (!err)
		err = vm_is_head(vm) ? configure(vm, parts, mem, why) : wait_for_config(vm, why);
	if (err)
		return err;
	config = &vm->remote->config[vm->nodes.head];
	if (!sensible(config))
		return why_set(why, ERR_INVALID,
			       "the head wants a guest of %llu bytes at %llu Hz, which can't be",
			       (unsigned long long)config->ram_bytes,
			       (unsigned long long)config->tsc_hz);
	vm->ram_bytes = config->ram_bytes;
	vm->tsc_hz = config->tsc_hz;
	log_cpus(vm);
	return 0;
}

void remote_config(struct vm *vm, unsigned from, const void *body, size_t len)
{
	struct remote *r = vm->remote;

	if (r->configured & BIT(from) || r->life) {
		link_strange(vm->link, from, NODE_CONFIG, "the machine's measures again");
		return;
	}
	memcpy(&r->config[from], body, sizeof(r->config[from]));
	r->configured |= BIT(from);
}

/* --- The machine's life --- */

static bool reached(const struct vm *vm, const unsigned *lives)
{
	for (unsigned i = 0; i < vm->nodes.count; i++)
		if (lives[i] < vm->remote->life)
			return false;
	return true;
}

void remote_ready(struct vm *vm, unsigned from, const void *body, size_t len)
{
	struct remote *r = vm->remote;

	/* A node can be ready for the next life before it begins here, but no more than that. */
	if (!vm_is_head(vm) || r->ready[from] > r->life)
		link_strange(vm->link, from, NODE_READY,
			     "that it is ready, which nobody waits for");
	else
		r->ready[from]++;
}

void remote_ready_all(struct vm *vm)
{
	const struct node_ready ready = {0};
	struct remote *r = vm->remote;

	if (!vm_is_head(vm)) {
		link_send(vm->link, vm->nodes.head, NODE_READY, &ready, sizeof(ready));
		return;
	}
	r->ready[vm->nodes.self]++;
	while (!reached(vm, r->ready) && !atomic_load(&vm->stop))
		link_poll(vm->link);
}

/* What another node says has happened there happens here, too. */
static void follow(struct vm *vm, unsigned from)
{
	const struct node_stopped *s = &vm->remote->last[from];

	if (s->how == VM_FAILED)
		vm_fail(vm, "node %u stopped: %s", from, s->text);
	if (s->how == VM_DEBUG_EXIT)
		vm->debug_code = s->code;
	vm_stop(vm, (enum vm_stop)s->how);
}

void remote_stopped(struct vm *vm, unsigned from, const void *body, size_t len)
{
	struct remote *r = vm->remote;
	struct node_stopped s;

	memcpy(&s, body, sizeof(s));
	if (s.how == VM_RUNNING || s.how > VM_FAILED || r->stopped[from] > r->life) {
		link_strange(vm->link, from, NODE_STOPPED, "an end that means nothing here");
		return;
	}
	s.text[NODE_TEXT - 1] = '\0';
	r->last[from] = s;
	/* The word of a life that has not begun here yet waits for remote_next_life(). */
	if (++r->stopped[from] == r->life && !GLUE_MUTANT(GLUE_STOP_UNFOLLOWED))
		follow(vm, from);
}

/*
 * What was asked and not answered when the machine stopped. Every answer that was given has come before
 * its node's NODE_STOPPED, by the same channel.
 */
static void forget_questions(struct remote *r)
{
	atomic_store(&r->io_asked, 0);
	atomic_store(&r->eoi_came, false);
	for (unsigned i = 0; i < ARRAY_LEN(r->eois); i++)
		atomic_store(&r->eois[i], 0);
	for (unsigned i = 0; i < VM_MAX_CPUS; i++)
		atomic_store(&r->missing[i], 0);
}

void remote_next_life(struct vm *vm)
{
	struct remote *r = vm->remote;

	link_lock(vm->link);
	r->life++;
	if (!GLUE_MUTANT(GLUE_QUESTIONS_STAY))
		forget_questions(r);
	for (unsigned i = 0; i < vm->nodes.count; i++)
		if (r->stopped[i] >= r->life)
			follow(vm, i);
	link_unlock(vm->link);
}

/* Two nodes can have stopped for different reasons at once; all make the same of that. */
static unsigned weight(unsigned how)
{
	static const uint8_t weights[] = {
		[VM_RESET] = 1, [VM_POWERED_OFF] = 2, [VM_DEBUG_EXIT] = 3, [VM_FAILED] = 4};

	return how < ARRAY_LEN(weights) ? weights[how] : 0;
}

static void agree(struct vm *vm)
{
	const struct node_stopped *last = vm->remote->last;
	unsigned best = vm->nodes.self;

	for (unsigned i = 0; i < vm->nodes.count; i++)
		if (weight(last[i].how) > weight(last[best].how))
			best = i;
	atomic_store(&vm->stop, last[best].how);
	vm->debug_code = last[best].code;
	if (best != vm->nodes.self)
		str_copy(vm->stop_why.text, last[best].text, sizeof(vm->stop_why.text));
}

static void linger(struct link *l)
{
	uint64_t until = tsc_now_ns() + LINGER_NS;

	while (tsc_now_ns() < until)
		link_poll(l);
}

void remote_stop_all(struct vm *vm)
{
	struct node_stopped s = {.how = (uint8_t)atomic_load(&vm->stop), .code = vm->debug_code};
	struct remote *r = vm->remote;
	struct link *l = vm->link;

	str_copy(s.text, vm->stop_why.text, sizeof(s.text));
	r->last[vm->nodes.self] = s;
	r->stopped[vm->nodes.self]++;
	link_send_all(l, NODE_STOPPED, &s, sizeof(s));
	while (!reached(vm, r->stopped) && !uplink_ended(l->wire))
		link_poll(l);
	if (!uplink_ended(l->wire))
		agree(vm);
	if (atomic_load(&vm->stop) != VM_RESET)
		linger(l);
}
