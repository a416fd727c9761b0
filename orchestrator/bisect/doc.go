// Package bisect finds the commit that made a case bad, when a run of a bad
// commit fails only now and then and a run of a good one is not quite safe from
// failing either. It is pure: values in, decisions out, the same ones on every
// call. Whoever drives it stores what was observed, asks again after every result,
// and loses nothing when it is killed.
//
//	Line       the commits: what is built, what cannot be, what a build costs
//	Evidence   what runs said, one entry for each run, kept per cold boot
//	Model      how bad and good commits fail, as far as that is known before
//	Search     line and evidence under a model
//	Posterior  how likely each commit is the culprit, and how often a bad one fails
//	Plan       what to build and run next, to narrow or to confirm, or the Answer
//	Forecast   what all of it will cost, and whether a budget can suffice
//
// Costs are in runs: one boot and test is 1. docs/bisect.md explains the method
// and has its measurements; package simulate measures them again.
//
// Next and Confidence are an older search over verdicts, for callers that repeat
// runs by themselves.
package bisect
