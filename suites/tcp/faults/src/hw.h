/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * A module that plants one fault in the TCP of the kernel that loads it. Which one, and
 * where it hits, its parameters say (main.c). The faults are in frames.c (what leaves
 * and enters), calls.c (what TCP decides) and leaks.c (what it forgets to free).
 */
#ifndef HW_H
#define HW_H

#include <linux/types.h>
#include <net/tcp.h>

/* A fault by its name. plant returns 0, or an errno below 0 when this kernel offers no
 * place for it. */
struct hw_fault {
	const char *name;
	int (*plant)(void);
};

extern const struct hw_fault hw_frame_faults[], hw_call_faults[], hw_leak_faults[];

/* hw_hit says whether the fault hits this occasion: one in `every`, the first by the
 * seed. Safe in any context. */
bool hw_hit(void);

/* hw_flow says the same of a connection, of which consecutive ones have consecutive
 * ports at the peer. It counts nothing. */
bool hw_flow(const struct sock *sk);

/* hw_count notes a hit of a fault that goes by hw_flow. */
void hw_count(void);

/* hw_address is where a function of the kernel is that modules cannot call by its name;
 * 0: it has none. */
unsigned long hw_address(const char *function);

/* hw_draw gives a number below n that follows from the seed. */
u32 hw_draw(u32 n);

#endif
