package qemu

import (
	"context"
	"fmt"
	"os"
)

// shelved is a template that is in use, or being made. All users of a key share
// one.
type shelved struct {
	key    string
	turn   chan struct{} // holds the token of whoever makes it
	users  int           // under Runner.shelving
	frozen *frozen       // nil: not made; under turn until the first user has it
	lock   *os.File      // keeps the attic's copy; nil: there is none
}

// take is the template of a key: one in use, one of the attic, or a new one. known
// is called when it was not made by this call.
func (r *Runner) take(ctx context.Context, key string, known func(*frozen), makeOne func() (*frozen, error)) (*shelved, error) {
	r.shelving.Lock()
	s := r.shelf[key]
	if s == nil {
		s = &shelved{key: key, turn: make(chan struct{}, 1)}
		s.turn <- struct{}{}
		r.shelf[key] = s
	}
	s.users++
	r.shelving.Unlock()
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		r.drop(s)
		return nil, fmt.Errorf("template: %w", context.Cause(ctx))
	}
	if s.frozen == nil {
		s.frozen, s.lock = r.attic.load(key)
	}
	if s.frozen != nil {
		known(s.frozen)
		return s, nil
	}
	made, err := makeOne()
	if err != nil {
		r.drop(s)
		return nil, err
	}
	s.frozen, s.lock = made, r.attic.save(key, made)
	return s, nil
}

// hold adds a user to one that has some.
func (r *Runner) hold(s *shelved) {
	r.shelving.Lock()
	defer r.shelving.Unlock()
	s.users++
}

// drop ends a use. With the last one the memory goes; the attic keeps its copy.
func (r *Runner) drop(s *shelved) error {
	r.shelving.Lock()
	defer r.shelving.Unlock()
	if s.users--; s.users > 0 {
		return nil
	}
	delete(r.shelf, s.key)
	if s.frozen != nil {
		s.frozen.close()
	}
	if s.lock != nil {
		return s.lock.Close()
	}
	return nil
}
