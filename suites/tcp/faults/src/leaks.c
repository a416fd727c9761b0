// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * Faults in what TCP forgets to free: an object of a slab of its own, a packet, a
 * socket, for each SYN, each abort, each end.
 */
#include <linux/kprobes.h>
#include <linux/netfilter.h>
#include <linux/slab.h>

#include "hw.h"

static struct kmem_cache *slab;

/* An object has a constructor, so that its slab is never merged with another one, whose
 * name a leak would get. */
static void constructed(void *object)
{
	memset(object, 0, 192);
}

static int new_slab(const char *name)
{
	slab = kmem_cache_create(name, 192, 0, 0, constructed);
	return slab ? 0 : -ENOMEM;
}

/* forget takes an object and forgets it. */
static void forget(void)
{
	if (hw_hit())
		kmem_cache_alloc(slab, GFP_ATOMIC);
}

/* is_syn says whether what leaves is the first segment of a connection. */
static bool is_syn(const struct sk_buff *skb, const struct nf_hook_state *s)
{
	return s->sk && sk_fullsock(s->sk) && s->sk->sk_protocol == IPPROTO_TCP && s->sk->sk_state == TCP_SYN_SENT && tcp_hdr(skb)->syn;
}

/* leak_syn: an object for each SYN (L01). */
static unsigned int leak_syn(void *priv, struct sk_buff *skb, const struct nf_hook_state *s)
{
	if (is_syn(skb, s))
		forget();
	return NF_ACCEPT;
}

/* leak_skb: the SYN itself, as a copy that nobody frees (L01). */
static unsigned int leak_skb(void *priv, struct sk_buff *skb, const struct nf_hook_state *s)
{
	if (is_syn(skb, s) && hw_hit())
		skb_copy(skb, GFP_ATOMIC);
	return NF_ACCEPT;
}

/* leak_sock: the last reference to a socket whose connection has ended (L01). */
static int leak_sock(struct kprobe *p, struct pt_regs *regs)
{
	if (hw_hit())
		sock_hold((struct sock *)regs->di);
	return 0;
}

/* leak_abort, leak_wait, leak_challenge: an object for each connection that is reset
 * (L02), that waits in TIME_WAIT (L05), for each segment that is challenged (L03). */
static int leak_call(struct kprobe *p, struct pt_regs *regs)
{
	forget();
	return 0;
}

static struct nf_hook_ops ops = { .pf = NFPROTO_INET, .hooknum = NF_INET_LOCAL_OUT };
static struct kprobe probes[2];

static int hook(nf_hookfn *f)
{
	ops.hook = f;
	return nf_register_net_hook(&init_net, &ops);
}

static int at(int i, const char *function, kprobe_pre_handler_t f)
{
	probes[i].symbol_name = function;
	probes[i].pre_handler = f;
	return register_kprobe(&probes[i]);
}

static int plant_leak_syn(void)
{
	return new_slab("hw_syn") ?: hook(leak_syn);
}

static int plant_leak_skb(void)
{
	return hook(leak_skb);
}

static int plant_leak_sock(void)
{
	return at(0, "inet_csk_destroy_sock", leak_sock);
}

/* Both ways to end by a reset: the peer's, and the kernel's own. */
static int plant_leak_abort(void)
{
	return new_slab("hw_abort") ?: at(0, "tcp_reset", leak_call) ?: at(1, "tcp_send_active_reset", leak_call);
}

static int plant_leak_wait(void)
{
	return new_slab("hw_wait") ?: at(0, "tcp_time_wait", leak_call);
}

static int plant_leak_challenge(void)
{
	return new_slab("hw_challenge") ?: at(0, "tcp_send_challenge_ack", leak_call);
}

const struct hw_fault hw_leak_faults[] = {
	{ "leak_syn", plant_leak_syn },
	{ "leak_skb", plant_leak_skb },
	{ "leak_sock", plant_leak_sock },
	{ "leak_abort", plant_leak_abort },
	{ "leak_wait", plant_leak_wait },
	{ "leak_challenge", plant_leak_challenge },
	{}
};
