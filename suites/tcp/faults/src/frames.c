// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * Faults in what leaves and enters: hooks of netfilter between TCP and IP. What leaves
 * has no checksum yet (CHECKSUM_PARTIAL), so what is changed here leaves with a right
 * one; and it may be several segments, which are cut later.
 */
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/skbuff.h>
#include <net/net_namespace.h>

#include "hw.h"

/* is_tcp says whether a packet at a hook is a whole TCP segment with its header in
 * reach. */
static bool is_tcp(struct sk_buff *skb, const struct nf_hook_state *s)
{
	if (s->pf == NFPROTO_IPV4 ? ip_hdr(skb)->protocol != IPPROTO_TCP || ip_is_fragment(ip_hdr(skb)) :
				    ipv6_hdr(skb)->nexthdr != IPPROTO_TCP)
		return false;
	return pskb_may_pull(skb, skb_transport_offset(skb) + sizeof(struct tcphdr)) &&
	       pskb_may_pull(skb, skb_transport_offset(skb) + tcp_hdrlen(skb));
}

/* data is the number of bytes behind the header. */
static int data(const struct sk_buff *skb)
{
	return skb->len - skb_transport_offset(skb) - tcp_hdrlen(skb);
}

/* leaving says whether a segment is one of a connection that is open, without SYN, FIN
 * and RST. */
static bool leaving(struct sk_buff *skb, const struct nf_hook_state *s)
{
	struct sock *sk = s->sk;

	return sk && sk_fullsock(sk) && sk->sk_protocol == IPPROTO_TCP && is_tcp(skb, s) &&
	       !tcp_hdr(skb)->syn && !tcp_hdr(skb)->fin && !tcp_hdr(skb)->rst;
}

/* fresh says whether it has data for the first time: TCP moves snd_nxt afterwards. */
static bool fresh(struct sk_buff *skb, const struct nf_hook_state *s)
{
	return leaving(skb, s) && data(skb) > 0 && ntohl(tcp_hdr(skb)->seq) == tcp_sk(s->sk)->snd_nxt;
}

/* again says whether it has data for the second time, and no timer has sent it. */
static bool again(struct sk_buff *skb, const struct nf_hook_state *s)
{
	const struct tcp_sock *tp;
	u32 seq;

	if (!leaving(skb, s) || data(skb) < 1)
		return false;
	tp = tcp_sk(s->sk);
	seq = ntohl(tcp_hdr(skb)->seq);
	return before(seq, tp->snd_nxt) && !before(seq, tp->snd_una) && !tp->retrans_out && !inet_csk(s->sk)->icsk_retransmits;
}

/* pure says whether it is an acknowledgement without data. */
static bool pure(struct sk_buff *skb, const struct nf_hook_state *s)
{
	return leaving(skb, s) && data(skb) == 0 && tcp_hdr(skb)->ack && s->sk->sk_state == TCP_ESTABLISHED;
}

/* flip changes a byte of the data: which, the seed says. */
static void flip(struct sk_buff *skb)
{
	int at = skb_transport_offset(skb) + tcp_hdrlen(skb) + hw_draw(data(skb));
	u8 b;

	if (!skb_copy_bits(skb, at, &b, 1)) {
		b ^= 0x55;
		skb_store_bits(skb, at, &b, 1);
	}
}

/* changed sends a copy with a byte changed. The original's data is TCP's own, which
 * it would send again as they were. */
static unsigned int changed(struct sk_buff *skb, const struct nf_hook_state *s)
{
	struct sk_buff *other = skb_copy(skb, GFP_ATOMIC);

	if (!other)
		return NF_ACCEPT;
	flip(other);
	s->okfn(s->net, s->sk, other);
	consume_skb(skb);
	return NF_STOLEN;
}

/* copied sends it twice. */
static unsigned int copied(struct sk_buff *skb, const struct nf_hook_state *s)
{
	struct sk_buff *other = skb_copy(skb, GFP_ATOMIC);

	if (other)
		s->okfn(s->net, s->sk, other);
	return NF_ACCEPT;
}

static int (*retransmit)(struct sock *sk, struct sk_buff *skb, int segments);

/* again_now sends the oldest data that nobody has acknowledged again, and takes back what
 * TCP notes of it but the count: it would not trust its own account of what is lost. */
static void again_now(struct sock *sk)
{
	struct sk_buff *head = tcp_rtx_queue_head(sk);
	struct tcp_sock *tp = tcp_sk(sk);

	if (!head || tp->retrans_out || inet_csk(sk)->icsk_ca_state != TCP_CA_Open || !hw_hit() || retransmit(sk, head, 1))
		return;
	tp->retrans_out -= tcp_skb_pcount(head);
	tp->retrans_stamp = 0;
	TCP_SKB_CB(head)->sacked &= ~TCPCB_RETRANS;
}

/* needless: each time that new data are sent, older ones are sent again, by the kernel's
 * own function and counted by it (F01). */
static unsigned int needless(void *priv, struct sk_buff *skb, const struct nf_hook_state *s)
{
	if (fresh(skb, s))
		again_now(s->sk);
	return NF_ACCEPT;
}

/* twice: new data are sent two times, which the kernel does not count (F01). */
static unsigned int twice(void *priv, struct sk_buff *skb, const struct nf_hook_state *s)
{
	return fresh(skb, s) && hw_hit() ? copied(skb, s) : NF_ACCEPT;
}

/* wrong_data: a byte of new data is another one, under a right checksum (F01). */
static unsigned int wrong_data(void *priv, struct sk_buff *skb, const struct nf_hook_state *s)
{
	return fresh(skb, s) && hw_hit() ? changed(skb, s) : NF_ACCEPT;
}

/* wrong_again: what is sent again is not what was sent, under a right checksum (R01). */
static unsigned int wrong_again(void *priv, struct sk_buff *skb, const struct nf_hook_state *s)
{
	return again(skb, s) && hw_hit() ? changed(skb, s) : NF_ACCEPT;
}

/* again_twice: a lost segment is sent again two times (R01). */
static unsigned int again_twice(void *priv, struct sk_buff *skb, const struct nf_hook_state *s)
{
	return again(skb, s) && hw_hit() ? copied(skb, s) : NF_ACCEPT;
}

/* again_lost: the first retransmission never leaves, though TCP has counted it: the
 * timer must (R01). */
static unsigned int again_lost(void *priv, struct sk_buff *skb, const struct nf_hook_state *s)
{
	if (!again(skb, s) || !hw_hit())
		return NF_ACCEPT;
	consume_skb(skb);
	return NF_STOLEN;
}

/* ack_ahead: an acknowledgement of what nobody has sent (F01). */
static unsigned int ack_ahead(void *priv, struct sk_buff *skb, const struct nf_hook_state *s)
{
	if (pure(skb, s) && hw_hit() && !skb_ensure_writable(skb, skb_transport_offset(skb) + tcp_hdrlen(skb)))
		tcp_hdr(skb)->ack_seq = htonl(ntohl(tcp_hdr(skb)->ack_seq) + (1 << 20));
	return NF_ACCEPT;
}

/* bad_checksum: an acknowledgement with a wrong checksum (F01). */
static unsigned int bad_checksum(void *priv, struct sk_buff *skb, const struct nf_hook_state *s)
{
	if (pure(skb, s) && hw_hit() && !skb_checksum_help(skb))
		tcp_hdr(skb)->check ^= htons(1 << hw_draw(16));
	return NF_ACCEPT;
}

/* wrong_delivery: a byte changes after the checksum was looked at, on its way to the
 * program (F01). */
static unsigned int wrong_delivery(void *priv, struct sk_buff *skb, const struct nf_hook_state *s)
{
	if (is_tcp(skb, s) && data(skb) > 0 && hw_hit()) {
		flip(skb);
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	}
	return NF_ACCEPT;
}

/* ignore_sack: the peer's SACK blocks are not read, though both agreed on them
 * (R01_sack). */
static unsigned int ignore_sack(void *priv, struct sk_buff *skb, const struct nf_hook_state *s)
{
	u8 *option, *end;

	if (!is_tcp(skb, s) || skb_ensure_writable(skb, skb_transport_offset(skb) + tcp_hdrlen(skb)))
		return NF_ACCEPT;
	option = (u8 *)(tcp_hdr(skb) + 1);
	end = (u8 *)tcp_hdr(skb) + tcp_hdrlen(skb);
	while (option < end && *option != TCPOPT_EOL) {
		if (*option == TCPOPT_NOP) {
			option++;
			continue;
		}
		if (end - option < 2 || option[1] < 2 || option[1] > end - option)
			break;
		if (*option == TCPOPT_SACK) {
			u8 n = option[1];

			memset(option, TCPOPT_NOP, n);
			skb->ip_summed = CHECKSUM_UNNECESSARY;
			hw_count();
			option += n;
		} else {
			option += option[1];
		}
	}
	return NF_ACCEPT;
}

static struct nf_hook_ops ops = { .pf = NFPROTO_INET, .priority = 0 };

static int hook(nf_hookfn *f, unsigned int where)
{
	ops.hook = f;
	ops.hooknum = where;
	return nf_register_net_hook(&init_net, &ops);
}

#define OUT(f) static int plant_##f(void) { return hook(f, NF_INET_LOCAL_OUT); }
#define IN(f) static int plant_##f(void) { return hook(f, NF_INET_LOCAL_IN); }
OUT(twice)
OUT(wrong_data)
OUT(wrong_again)
OUT(again_twice)
OUT(again_lost)
OUT(ack_ahead)
OUT(bad_checksum)
IN(wrong_delivery)
IN(ignore_sack)

static int plant_needless(void)
{
	retransmit = (void *)hw_address("tcp_retransmit_skb");
	return retransmit ? hook(needless, NF_INET_LOCAL_OUT) : -ENOENT;
}

const struct hw_fault hw_frame_faults[] = {
	{ "needless", plant_needless },
	{ "twice", plant_twice },
	{ "wrong_data", plant_wrong_data },
	{ "wrong_again", plant_wrong_again },
	{ "again_twice", plant_again_twice },
	{ "again_lost", plant_again_lost },
	{ "ack_ahead", plant_ack_ahead },
	{ "bad_checksum", plant_bad_checksum },
	{ "wrong_delivery", plant_wrong_delivery },
	{ "ignore_sack", plant_ignore_sack },
	{}
};
