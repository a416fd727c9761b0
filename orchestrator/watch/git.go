package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unicode"
)

const (
	stderrTail = 2 << 10         // bytes of a command's last words kept for its error
	killDelay  = 5 * time.Second // between asking git to end and making it
)

// git runs the git command on one repository. Nothing of the user's, the
// system's or the caller's git configuration reaches it, and it never asks
// anybody for a password.
type git struct {
	dir    string   // absolute path of the bare repository
	global string   // file that stands in for the user's configuration
	config []string // "key=value", given to every command
}

// gitError is a git command that ended badly.
type gitError struct {
	sub    string // the subcommand
	stderr string // its last words, printable
	err    error
}

func (e *gitError) Error() string {
	if e.stderr == "" {
		return fmt.Sprintf("git %s: %v", e.sub, e.err)
	}
	return fmt.Sprintf("git %s: %s (%v)", e.sub, e.stderr, e.err)
}

func (e *gitError) Unwrap() error { return e.err }

// said says whether err is of a git command whose last words contain any of the
// texts. LC_ALL=C keeps git's messages in English.
func said(err error, texts ...string) bool {
	e, ok := errors.AsType[*gitError](err)
	if !ok {
		return false
	}
	for _, t := range texts {
		if strings.Contains(e.stderr, t) {
			return true
		}
	}
	return false
}

// with returns the same git with more configuration.
func (g git) with(config ...string) git {
	g.config = append(g.config[:len(g.config):len(g.config)], config...)
	return g
}

// command prepares a git command that is told to end, with its children, when
// ctx ends, and that dies with this process.
func (g git) command(ctx context.Context, args []string) *exec.Cmd {
	full := []string{"--git-dir=" + g.dir, "--no-pager", "--no-replace-objects"}
	for _, c := range g.config {
		full = append(full, "-c", c)
	}
	cmd := exec.CommandContext(ctx, "git", append(full, args...)...)
	cmd.Dir = "/" // relative paths would mean something else in every caller
	cmd.Env = gitEnv(os.Environ(), g.global)
	cmd.SysProcAttr = childAttr()
	// SIGTERM lets git take its locks and temporary files with it.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killDelay
	return cmd
}

// run runs a git command. stdin and stdout may be nil. The error is ctx's when
// ctx ended, else a *gitError, or whatever stdout's Write returned.
func (g git) run(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) (stderr string, err error) {
	cmd := g.command(ctx, args)
	var said tail
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &said
	// The kernel delivers the parent-death signal when the forking thread ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	return said.String(), ended(ctx, cmd, args[0], said.String(), err)
}

// ended turns the end of a command into an error and kills what is left of its
// children.
func ended(ctx context.Context, cmd *exec.Cmd, sub, stderr string, err error) error {
	if err == nil {
		return nil
	}
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // ESRCH: all gone
	}
	if ctx.Err() != nil {
		return fmt.Errorf("git %s: %w", sub, context.Cause(ctx))
	}
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("git is not installed or not in PATH: %w", err)
	}
	return &gitError{sub: sub, stderr: stderr, err: err}
}

// output runs a git command and returns what it printed, at most limit bytes.
func (g git) output(ctx context.Context, limit int, args ...string) ([]byte, error) {
	out := &capped{left: limit}
	_, err := g.run(ctx, nil, out, args...)
	if out.over {
		return nil, fmt.Errorf("git %s printed more than %d bytes", args[0], limit)
	}
	return out.buf.Bytes(), err
}

// line runs a git command that prints one short line.
func (g git) line(ctx context.Context, args ...string) (string, error) {
	out, err := g.output(ctx, 4<<10, args...)
	return strings.TrimSpace(string(out)), err
}

// gitEnv is the environment of every git command: the caller's without its git
// variables, save those that say how to reach a network.
func gitEnv(env []string, global string) []string {
	var out []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "GIT_SSL_"), strings.HasPrefix(name, "GIT_PROXY_"), name == "GIT_EXEC_PATH":
		case strings.HasPrefix(name, "GIT_"), strings.HasPrefix(name, "LC_"), name == "LANG", name == "LANGUAGE", name == "SSH_ASKPASS":
			continue
		}
		out = append(out, kv)
	}
	return append(out,
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL="+global,
		"GIT_TERMINAL_PROMPT=0",
		"GIT_SSH_COMMAND=ssh -o BatchMode=yes",
		// Git 2.39 left to itself starts fetches within fetches without end when a
		// partial copy is a shallow one too. See canFilter for older ones.
		"GIT_NO_LAZY_FETCH=1",
		// No ext:: and no other transport that runs a command of the URL's choice.
		"GIT_ALLOW_PROTOCOL=file:git:http:https:ssh",
	)
}

// tail keeps the end of what is written to it.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - stderrTail; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// String is what was kept, on one line and printable: a server chooses parts of
// what git prints.
func (t *tail) String() string {
	text := strings.Join(strings.FieldsFunc(string(t.buf), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	return strings.TrimSpace(printable(text))
}

// printable replaces control characters and what is not UTF-8.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// capped is a buffer that refuses to grow over its limit.
type capped struct {
	buf  bytes.Buffer // not embedded: its ReadFrom would go round the limit
	left int
	over bool
}

func (c *capped) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		c.over = true
		return 0, errors.New("too much output")
	}
	return c.buf.Write(p)
}
