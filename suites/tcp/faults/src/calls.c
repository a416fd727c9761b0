// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * Faults in what TCP decides: probes at the beginning of its functions, which change the
 * connection before it looks, or leave a function out. The socket is locked there.
 */
#include <linux/kprobes.h>
#include <linux/linkage.h>

#include "hw.h"

/* What a function that is left out does: it returns to its caller. */
asmlinkage void hw_return(void);
asm(".pushsection .text\n"
    ".type hw_return, @function\n"
    "hw_return:\n" ASM_RET
    ".size hw_return, .-hw_return\n"
    ".popsection\n");

/* left_out leaves out the function at whose beginning a probe is, with 0 for a result. */
static int left_out(struct pt_regs *regs)
{
	hw_count();
	regs->ax = 0;
	regs->ip = (unsigned long)hw_return;
	return 1;
}

unsigned long hw_address(const char *function)
{
	struct kprobe there = { .symbol_name = function };
	unsigned long at;

	if (register_kprobe(&there))
		return 0;
	at = (unsigned long)there.addr;
	unregister_kprobe(&there);
	return at;
}

static struct sock *socket_of(struct pt_regs *regs)
{
	return (struct sock *)regs->di;
}

/* never_fast: no number of duplicate acknowledgements is enough (R01). */
static int never_fast(struct kprobe *p, struct pt_regs *regs)
{
	if (hw_flow(socket_of(regs))) {
		tcp_sk(socket_of(regs))->reordering = 127;
		hw_count();
	}
	return 0;
}

/* hasty: the first duplicate acknowledgement is enough (R05; in R01 the duplicates come at
 * once, so that nobody sees it). */
static int hasty(struct kprobe *p, struct pt_regs *regs)
{
	if (hw_flow(socket_of(regs))) {
		tcp_sk(socket_of(regs))->reordering = 1;
		hw_count();
	}
	return 0;
}

/* short_rto: the retransmission timer forgets its least value and the round-trip time
 * (R01, R05). */
static int short_rto(struct kprobe *p, struct pt_regs *regs)
{
	if (hw_flow(socket_of(regs))) {
		inet_csk(socket_of(regs))->icsk_rto = msecs_to_jiffies(8);
		hw_count();
	}
	return 0;
}

static u32 ceiling;

/* no_growth: the congestion window stops at a few segments, how many the seed says
 * (P01). */
static int no_growth(struct kprobe *p, struct pt_regs *regs)
{
	return tcp_sk(socket_of(regs))->snd_cwnd < ceiling ? 0 : left_out(regs);
}

/* no_backoff: the retransmission timer does not double (R04). It is halved before the
 * kernel doubles it. */
static int no_backoff(struct kprobe *p, struct pt_regs *regs)
{
	struct inet_connection_sock *icsk = inet_csk(socket_of(regs));

	if (icsk->icsk_backoff && hw_flow(socket_of(regs))) {
		icsk->icsk_rto >>= 1;
		hw_count();
	}
	return 0;
}

/* no_persist: a closed window is never probed (F07). */
static int no_persist(struct kprobe *p, struct pt_regs *regs)
{
	return hw_flow(socket_of(regs)) ? left_out(regs) : 0;
}

/* no_slowdown: after a timeout the congestion window is as large as before (R06). The
 * function keeps account of what is lost, too, and sets the window last: so it is
 * opened again at the next thing that TCP sends. */
static int no_slowdown(struct kprobe *p, struct pt_regs *regs)
{
	struct tcp_sock *tp = tcp_sk(socket_of(regs));

	if (inet_csk(socket_of(regs))->icsk_ca_state == TCP_CA_Loss && hw_flow(socket_of(regs))) {
		tp->snd_cwnd = max(tp->snd_cwnd, tp->prior_cwnd);
		hw_count();
	}
	return 0;
}

/* no_synack_again: a SYN|ACK that is lost is not sent again (R08). */
static int no_synack_again(struct kprobe *p, struct pt_regs *regs)
{
	return left_out(regs);
}

/* no_limit: every segment that does not belong is answered (F06). */
static int no_limit(struct kprobe *p, struct pt_regs *regs)
{
	return left_out(regs);
}

/* With a second handler a probe stays one that may change where the kernel goes on;
 * see Documentation/trace/kprobes.rst. */
static void afterwards(struct kprobe *p, struct pt_regs *regs, unsigned long flags)
{
}

static struct kprobe probe = { .post_handler = afterwards };

static int at(const char *function, kprobe_pre_handler_t f)
{
	probe.symbol_name = function;
	probe.pre_handler = f;
	return register_kprobe(&probe);
}

#define AT(f, function) static int plant_##f(void) { return at(function, f); }
AT(never_fast, "tcp_rcv_established")
AT(hasty, "tcp_rcv_established")
AT(short_rto, "tcp_rearm_rto")
AT(no_backoff, "tcp_retransmit_timer")
AT(no_persist, "tcp_send_probe0")
AT(no_slowdown, "tcp_write_xmit")
AT(no_synack_again, "tcp_rtx_synack")
AT(no_limit, "tcp_oow_rate_limited")

static int plant_no_growth(void)
{
	ceiling = 12 + hw_draw(3);
	return at("tcp_reno_cong_avoid", no_growth);
}

const struct hw_fault hw_call_faults[] = {
	{ "never_fast", plant_never_fast },
	{ "hasty", plant_hasty },
	{ "short_rto", plant_short_rto },
	{ "no_growth", plant_no_growth },
	{ "no_backoff", plant_no_backoff },
	{ "no_persist", plant_no_persist },
	{ "no_slowdown", plant_no_slowdown },
	{ "no_synack_again", plant_no_synack_again },
	{ "no_limit", plant_no_limit },
	{}
};
