// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
/*
 * Parameters, dice and the choice of the fault. There is no exit: what is planted stays
 * until the machine ends, which in a clone is the end of its case.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/module.h>
#include <linux/random.h>

#include "hw.h"

static char *fault = "none";
module_param(fault, charp, 0444);
MODULE_PARM_DESC(fault, "which one; none: everything is right");

static unsigned long long seed;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "decides where it hits; 0: drawn, so that each machine has its own");

static uint every = 1;
module_param(every, uint, 0444);
MODULE_PARM_DESC(every, "it hits one occasion in so many");

static uint chance = 100;
module_param(chance, uint, 0444);
MODULE_PARM_DESC(chance, "percent of the machines that have it at all");

/* What follows is read by who wants to know whether a fault was there to be caught. */
static bool planted;
module_param(planted, bool, 0444);
MODULE_PARM_DESC(planted, "whether this machine has it; what is given is not heard");

static int hits_get(char *buffer, const struct kernel_param *kp);
static const struct kernel_param_ops hits_ops = { .get = hits_get };
module_param_cb(hits, &hits_ops, NULL, 0444);
MODULE_PARM_DESC(hits, "how often it hit");

static atomic64_t hits = ATOMIC64_INIT(0);
static atomic_t occasions = ATOMIC_INIT(0);
static u64 state;
static u32 phase;

static int hits_get(char *buffer, const struct kernel_param *kp)
{
	return scnprintf(buffer, PAGE_SIZE, "%lld\n", atomic64_read(&hits));
}

/* splitmix64: Steele, Lea, Flood 2014. */
u32 hw_draw(u32 n)
{
	u64 z = (state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return n ? (u32)((z ^ (z >> 31)) >> 32) % n : 0;
}

void hw_count(void)
{
	atomic64_inc(&hits);
}

bool hw_hit(void)
{
	if ((u32)atomic_inc_return(&occasions) % every != phase)
		return false;
	hw_count();
	return true;
}

bool hw_flow(const struct sock *sk)
{
	return (u32)ntohs(inet_sk(sk)->inet_dport) % every == phase;
}

/* find gives the fault of that name. */
static const struct hw_fault *find(const char *name)
{
	const struct hw_fault *const lists[] = { hw_frame_faults, hw_call_faults, hw_leak_faults };
	const struct hw_fault *f;
	int i;

	for (i = 0; i < ARRAY_SIZE(lists); i++)
		for (f = lists[i]; f->name; f++)
			if (!strcmp(f->name, name))
				return f;
	return NULL;
}

static int __init hw_init(void)
{
	const struct hw_fault *f = NULL;
	int err;

	planted = false;
	if (every < 1 || chance > 100)
		return -EINVAL;
	if (strcmp(fault, "none") && !(f = find(fault))) {
		pr_err("no fault %s\n", fault);
		return -ENOENT;
	}
	state = seed ? seed : get_random_u64();
	phase = hw_draw(every);
	if (!f || hw_draw(100) >= chance)
		return 0;
	err = f->plant();
	planted = !err;
	return err;
}
module_init(hw_init);

MODULE_DESCRIPTION("plants one fault in TCP, for tests that must find it");
MODULE_LICENSE("Dual BSD/GPL");
