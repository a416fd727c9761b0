// Package pressure perturbs the scheduling of threads from outside, by a plan
// that a seed determines. It is meant for the threads of a machine's virtual
// CPUs, which QEMU has one of for each, under KVM and under emulation alike, and
// needs nothing in the guest.
//
// A race shows when a thread is held up within its window while another one does
// all that it takes. Two virtual CPUs that run side by side seldom give it the
// time; so a step of the plan takes one of them, the victim, and pauses it for
// some ten microseconds thousands of times a second while the others run on. That
// is the "delay" of randomized schedulers such as probabilistic concurrency
// testing (Burckhardt et al., ASPLOS 2010), done where no instruction can be
// counted. Further steps crowd all of them on one core, where they take turns by
// ranks drawn for the step if the process may give any, or leave them alone, for
// some faults need two that run at the same time.
//
// The plan is the same for the same seed. What it does to a guest is not: where
// the threads are when a pause comes is up to the host.
//
// This package imports nothing of the project.
package pressure
