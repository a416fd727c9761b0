//go:build linux || freebsd

package guest

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"

	"golang.org/x/sys/unix"
)

// memoryChunk is the unit in which memory is mapped and read in another order,
// in bytes: odd enough that chunks cross superpages.
const memoryChunk = 192 << 10

// memory writes the pattern and reads it back in another order: private memory
// through the mapping that wrote it, shared memory through a second mapping of
// each chunk.
func memory(ctx context.Context, args MemoryArgs) (Memory, error) {
	var result Memory
	if args.MiB < 1 || args.MiB > 1<<14 {
		return result, fmt.Errorf("%d MiB of memory: want 1 to 16384", args.MiB)
	}
	size := args.MiB << 20
	order := rand.New(rand.NewPCG(args.Seed, 1)).Perm((size + memoryChunk - 1) / memoryChunk)
	var err error
	if result.Private, err = privateMemory(ctx, args.Seed, size, order); err != nil {
		return result, err
	}
	result.Shared, err = sharedMemory(ctx, args.Seed+1, size, order)
	return result, err
}

func privateMemory(ctx context.Context, seed uint64, size int, order []int) (MemoryRead, error) {
	var read MemoryRead
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return read, os.NewSyscallError("mmap", err)
	}
	defer unix.Munmap(mem)
	if err := fill(ctx, mem, seed); err != nil {
		return read, err
	}
	for _, chunk := range order {
		if err := ctx.Err(); err != nil {
			return read, err
		}
		offset := chunk * memoryChunk
		read.check(mem[offset:min(offset+memoryChunk, size)], seed, offset)
	}
	return read, nil
}

func sharedMemory(ctx context.Context, seed uint64, size int, order []int) (MemoryRead, error) {
	var read MemoryRead
	object, err := memoryObject()
	if err != nil {
		return read, err
	}
	defer object.Close()
	if err := object.Truncate(int64(size)); err != nil {
		return read, os.NewSyscallError("ftruncate", unwrapPath(err))
	}
	mem, err := unix.Mmap(int(object.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return read, os.NewSyscallError("mmap", err)
	}
	defer unix.Munmap(mem)
	if err := fill(ctx, mem, seed); err != nil {
		return read, err
	}
	for _, chunk := range order {
		if err := ctx.Err(); err != nil {
			return read, err
		}
		offset := chunk * memoryChunk
		n := min(memoryChunk, size-offset)
		second, err := unix.Mmap(int(object.Fd()), int64(offset), n, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return read, os.NewSyscallError("mmap", err)
		}
		read.check(second, seed, offset)
		if err := unix.Munmap(second); err != nil {
			return read, os.NewSyscallError("munmap", err)
		}
	}
	return read, nil
}

func fill(ctx context.Context, mem []byte, seed uint64) error {
	for at := 0; at < len(mem); at += 8 {
		if at%memoryChunk == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		binary.LittleEndian.PutUint64(mem[at:], Word(seed, at/8))
	}
	return nil
}

// check compares a chunk that starts at offset with the pattern.
func (r *MemoryRead) check(chunk []byte, seed uint64, offset int) {
	for at := 0; at < len(chunk); at += 8 {
		want, got := Word(seed, (offset+at)/8), binary.LittleEndian.Uint64(chunk[at:])
		r.Words++
		if got == want {
			continue
		}
		if r.Wrong == 0 {
			r.FirstOffset, r.FirstWant, r.FirstGot = offset+at, want, got
		}
		r.Wrong++
	}
}

// unwrapPath takes the path, which differs in every run, off an error.
func unwrapPath(err error) error {
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}
