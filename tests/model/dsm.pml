/*
 * The page protocol at message level, for one page, written from docs/coherence.md and not from the
 * code. N nodes, node 0 is the home. Every node runs an endless guest that reads or writes; what the
 * engine keeps is kept here, so that each line has its counterpart:
 *
 *   here                    in dsm/
 *   st[n], ver[n]           struct page: state, version            (dsm_state.h)
 *   pend[n], acks[n],       struct page: pend, acks, granted
 *     granted[n]
 *   hold[n]                 read_holds / write_holds, of an instruction or kept (dsm_agent.c)
 *   owner, version, copies  the directory's words                  (dsm_home.c)
 *   orders[n]               the home's urgent channel to n: fwd-read, fwd-write, inv; its receiver is
 *                           page_defer + page_serve_first: the head waits for version, hold, flush
 *   answers[n]              what comes from anywhere, unordered: data, grant, ack (on_data, on_grant,
 *                           on_ack in dsm_page.c); kept apart so that orders may overtake them
 *   requests                to the home: home_read, home_write (dsm_home.c)
 *   tlb[n]                  what CPUs may still do: DSM_ACT_KICK ... DSM_EV_FLUSHED
 *
 * Versions count modulo V: with few requests on their way at once that tells them apart.
 * Left out: eviction, several pages, zero pages. The explorer covers those on the real code.
 */
#define N 3
#define HOME 0
#define V 8

mtype = { none, shared, owned, writable };
mtype = { req_read, req_write, fwd_read, fwd_write, inv, data, grant, ack };

chan requests = [N] of { mtype, byte, bool, byte };	/* what, who, have a copy, of version */
chan orders[N] = [N] of { mtype, byte, byte, byte };	/* what, version, requester, acks */
chan answers[N] = [2 * N] of { mtype, byte, byte, bool }; /* what, version, acks, with page */

mtype st[N], tlb[N], hold[N];
byte ver[N], granted[N], kicked[N];
bool pend_read[N], pend_write[N], have_grant[N];
short acks[N];
byte owner = HOME, version = 0, copies = 1;

#define bit(n) (1 << (n))
#define readable(n) (st[n] != none)
/* item_held_up: a hold for reading lets others read. */
#define held_up(n, what) (hold[n] == writable || (hold[n] == shared && what != fwd_read))

/* Ghost: whose copy is what was written last. */
byte current = 1;

inline check_rights() {
	assert(!(tlb[0] == writable && (tlb[1] != none || tlb[2] != none)));
	assert(!(tlb[1] == writable && (tlb[0] != none || tlb[2] != none)));
	assert(!(tlb[2] == writable && (tlb[0] != none || tlb[1] != none)));
}

/* home_invalidate and what follows: orders to sharers, to the source, or the grant. */
inline order_write(r, have, v, n, source, count) {
	count = 0;
	if
	:: r != HOME && (owner == HOME || ((copies & bit(HOME)) && readable(HOME))) -> source = HOME
	:: else -> if
		:: have && v == version -> source = r
		:: else -> source = owner
		fi
	fi;
	n = 0;
	do
	:: n < N ->
		if
		:: (copies & bit(n)) && n != r && n != source ->
			count++;
			orders[n]!inv(version, r, 0)
		:: else
		fi;
		n++
	:: else -> break
	od;
	if
	:: source == r ->
		assert(have && v == version);
		answers[r]!grant((version + 1) % V, count, 0)
	:: else -> orders[source]!fwd_write(version, r, (have && v == version -> count + 16 : count))
	fi;
	version = (version + 1) % V;
	owner = r;
	copies = bit(r);
	n = 0; source = 0; count = 0
}

/* One process is the home's directory: it never waits for anything but the next request. */
active proctype directory() {
	mtype what;
	byte r, v, n, source, count;
	bool have;

end:	do
	:: atomic { requests?what(r, have, v) ->
		if
		:: what == req_read ->
			assert(!(copies & bit(r)));
			if
			:: owner == HOME || ((copies & bit(HOME)) && readable(HOME)) ->
				orders[HOME]!fwd_read(version, r, 0)
			:: else -> orders[owner]!fwd_read(version, r, 0)
			fi;
			copies = copies | bit(r)
		:: what == req_write -> order_write(r, have, v, n, source, count)
		fi;
		what = 0; r = 0; v = 0; have = 0
	   }
	od
}

inline arrive_read(v) {
	st[me] = shared; ver[me] = v; pend_read[me] = false; hold[me] = shared;
	tlb[me] = shared
}

inline arrive_write() {
	if
	:: have_grant[me] && acks[me] == 0 ->
		st[me] = writable; ver[me] = granted[me]; pend_write[me] = false;
		have_grant[me] = false; granted[me] = 0; hold[me] = writable; tlb[me] = writable
	:: else
	fi;
	check_rights()
}

proctype node(byte me) {
	mtype what;
	byte v, r, a;
	bool page;

end:	do
	/* The guest reads and writes what it has the rights for, any number of times under one hold, else it faults. */
	:: atomic { tlb[me] != none -> assert(current & bit(me)) }
	:: atomic { tlb[me] == writable -> assert(current & bit(me)); current = bit(me) }
	/* The hold ends with the instruction, or when the time of a kept page is over: at any moment. */
	:: atomic { hold[me] != none -> hold[me] = none }
	:: atomic { st[me] == none && kicked[me] == 0 && tlb[me] == none && !pend_read[me] && !pend_write[me] &&
		    empty(orders[me]) ->
		pend_read[me] = true; requests!req_read(me, false, 0) }
	:: atomic { st[me] != writable && kicked[me] == 0 && !pend_read[me] && !pend_write[me] &&
		    empty(orders[me]) ->
		pend_write[me] = true;
		requests!req_write(me, readable(me), (readable(me) -> ver[me] : 0)) }

	/* Answers, in any order. */
	:: atomic { answers[me]??data(v, a, page) ->
		assert(pend_read[me]);
		arrive_read(v); check_rights(); v = 0; a = 0; page = 0 }
	:: atomic { answers[me]??grant(v, a, page) ->
		assert(pend_write[me] && !have_grant[me]);
		assert(page || (readable(me) && (ver[me] + 1) % V == v));
		have_grant[me] = true; granted[me] = v; acks[me] = acks[me] + a;
		arrive_write(); v = 0; a = 0; page = 0 }
	:: atomic { answers[me]??ack(v, a, page) ->
		assert(pend_write[me]);
		acks[me] = acks[me] - 1; arrive_write(); v = 0; a = 0; page = 0 }

	/* Orders, strictly in turn: the first kick when it is the head's turn, then the answer. */
	:: atomic { nempty(orders[me]) && kicked[me] == 0 && readable(me) ->
		orders[me]?<what, v, r, a>;
		if
		:: v != ver[me] -> assert(pend_write[me] || pend_read[me])
		:: v == ver[me] && held_up(me, what) -> skip
		:: v == ver[me] && !held_up(me, what) && what == fwd_read && tlb[me] == writable -> kicked[me] = 1
		:: v == ver[me] && !held_up(me, what) && what != fwd_read && tlb[me] != none -> kicked[me] = 2
		:: v == ver[me] && !held_up(me, what) && what == fwd_read && tlb[me] != writable ->
			orders[me]?what(v, r, a);
			if
			:: st[me] == writable -> st[me] = owned
			:: else
			fi;
			answers[r]!data(v, 0, 1);
			current = (current & bit(me) -> current | bit(r) : current & (255 - bit(r)))
		:: v == ver[me] && !held_up(me, what) && what != fwd_read && tlb[me] == none ->
			orders[me]?what(v, r, a);
			st[me] = none;
			if
			:: what == inv -> answers[r]!ack((v + 1) % V, 0, 0)
			:: what == fwd_write && a >= 16 -> answers[r]!grant((v + 1) % V, a - 16, 0)
			:: what == fwd_write && a < 16 ->
				answers[r]!grant((v + 1) % V, a, 1);
				current = (current & bit(me) -> current | bit(r) : current & (255 - bit(r)))
			fi
		fi;
		what = 0; v = 0; r = 0; a = 0 }
	/* The flush is done; until here the guest may have used the old rights. */
	:: atomic { kicked[me] == 1 -> tlb[me] = shared; kicked[me] = 0 }
	:: atomic { kicked[me] == 2 -> tlb[me] = none; kicked[me] = 0 }
	od
}

init {
	atomic {
		byte i = 0;
		do
		:: i < N -> st[i] = none; tlb[i] = none; hold[i] = none; i++
		:: else -> break
		od;
		st[HOME] = shared; tlb[HOME] = shared;
		run node(0); run node(1); run node(2)
	}
}
