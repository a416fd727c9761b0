package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Client is the host's end of a session with an agent. It is safe for
// concurrent use. Its owner ends it with Close.
type Client struct {
	conn   io.ReadWriteCloser
	hello  Hello          // set before met is closed
	out    chan *outgoing // requests of one frame, for the writer; handed over, so that a call knows that its turn came
	long   chan *outgoing // the same for requests of more
	urgent chan []byte    // frames: hello requests, cancels, the end marker's return; never waited for
	slots  chan struct{}  // one for each outstanding call
	met    chan struct{}  // closed after the handshake
	ended  chan struct{}  // closed with the end marker
	stop   chan struct{}  // closed by Close
	done   chan struct{}  // closed when the stream is over
	tasks  sync.WaitGroup

	stopOnce sync.Once
	closeErr error // of conn; set under stopOnce

	window window   // the writer takes, the reader gives
	parts  assembly // the reader's alone

	mu      sync.Mutex
	pending map[uint64]chan response // each holds one answer
	lastID  uint64
	asked   uint64 // id of the last power-off request; 0: none
	refusal error  // what the agent said after its end marker
	reason  error  // why the stream is over; set before done is closed
	heard   time.Time
	ignored Ignored
	budget  budget // the reader's alone
}

// Ignored counts what an agent sent without being asked for it. Honest agents
// cause late answers (to cancelled calls) and a few stray hellos.
type Ignored struct {
	Unknown uint64 // answers to requests that were never made
	Late    uint64 // answers to requests that were answered or given up
	Stray   uint64 // frames out of season, such as a second hello
}

func newClient(conn io.ReadWriteCloser) *Client {
	return &Client{
		conn:    conn,
		out:     make(chan *outgoing),
		long:    make(chan *outgoing),
		window:  window{freed: make(chan struct{}, 1)},
		urgent:  make(chan []byte, maxOutstanding),
		slots:   make(chan struct{}, maxOutstanding),
		met:     make(chan struct{}),
		ended:   make(chan struct{}),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
		pending: make(map[uint64]chan response),
	}
}

// Hello is what the agent said of itself.
func (c *Client) Hello() Hello { return c.hello }

// Heartbeat is when the last frame of any kind arrived, by the host's clock.
func (c *Client) Heartbeat() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard
}

// Ignored counts what was ignored so far.
func (c *Client) Ignored() Ignored {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ignored
}

// Done is closed when the stream is over, for whatever reason.
func (c *Client) Done() <-chan struct{} { return c.done }

// Ended reports whether the end marker has arrived after it was asked for.
func (c *Client) Ended() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// Err says why the stream is over: nil while it is not, and after a clean end.
// After the end marker it is not nil only when the agent then said that the
// kernel refused to power off.
func (c *Client) Err() error {
	select {
	case <-c.done:
		return c.cause()
	default:
		return nil
	}
}

func (c *Client) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

// Call performs one operation of the agent. args is marshalled to JSON, the
// answer is unmarshalled into result; nil sends, or discards, nothing. When ctx
// is done the operation is cancelled and Call returns ctx's cause. A refusal by
// the guest's kernel is a *RefusedError, the agent's own fault an *AgentError,
// and a lost stream wraps ErrClosed.
func (c *Client) Call(ctx context.Context, op string, args, result any) error {
	if op == OpPowerOff {
		return fmt.Errorf("%s: use PowerOff", op)
	}
	id, answer, err := c.request(ctx, op, args)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	defer c.forget(id)
	resp, err := c.await(ctx, id, answer, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if resp.Error != nil {
		return resp.Error.err(op)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(resp.Result, result); err != nil {
		return &AgentError{op, clean("answer does not fit: "+err.Error(), maxText)}
	}
	return nil
}

// PowerOff asks for a clean power-off. It returns nil once the end marker has
// arrived; the guest powers off after it. When the kernel refused, the error is
// a *RefusedError.
func (c *Client) PowerOff(ctx context.Context) error {
	id, answer, err := c.request(ctx, OpPowerOff, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", OpPowerOff, err)
	}
	defer c.forget(id)
	resp, err := c.await(ctx, id, answer, c.ended)
	switch {
	case c.Ended():
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", OpPowerOff, err)
	case resp.Error != nil:
		return resp.Error.err(OpPowerOff)
	}
	return &AgentError{OpPowerOff, "answered without the end marker"}
}

// cancelGrace is how much longer than its caller the guest waits for an operation: at
// the deadline the host cancels it, and of two ends that give up at once the caller
// would hear now one, now the other.
const cancelGrace = 2 * time.Second

// request takes a slot, registers a call and hands its frame to the writer.
func (c *Client) request(ctx context.Context, op string, args any) (uint64, chan response, error) {
	req := request{Op: op}
	if args != nil {
		raw, err := json.Marshal(args)
		if err != nil {
			return 0, nil, err
		}
		req.Args = raw
	}
	if deadline, ok := ctx.Deadline(); ok {
		req.Timeout = max(time.Until(deadline), 0).Seconds() + cancelGrace.Seconds()
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.done:
		return 0, nil, c.lost()
	case <-ctx.Done():
		return 0, nil, context.Cause(ctx)
	}
	var answer chan response
	req.ID, answer = c.register(op)
	if err := c.hand(ctx, req); err != nil {
		c.forget(req.ID)
		return 0, nil, err
	}
	return req.ID, answer, nil
}

// hand gives a request to the writer, whole where half a window holds it.
func (c *Client) hand(ctx context.Context, req request) error {
	payload, err := json.Marshal(req)
	if err != nil {
		return err
	}
	if len(payload) > MaxPayload {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrFrameSize, len(payload), MaxPayload)
	}
	msg := &outgoing{ctx, pieces{payload, pieceSize(c.hello.Window)}}
	to := c.out
	if len(payload) > msg.size {
		to = c.long
	}
	select {
	case to <- msg:
		return nil
	case <-c.done:
		return c.lost()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Client) register(op string) (uint64, chan response) {
	answer := make(chan response, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID++
	c.pending[c.lastID] = answer
	if op == OpPowerOff {
		c.asked = c.lastID
	}
	return c.lastID, answer
}

// forget ends a call, answered or not, and frees its slot.
func (c *Client) forget(id uint64) {
	c.mu.Lock()
	delete(c.pending, id)
	c.mu.Unlock()
	<-c.slots
}

// await waits for the answer of a call. ended, when not nil, is an answer too.
func (c *Client) await(ctx context.Context, id uint64, answer chan response, ended <-chan struct{}) (response, error) {
	select {
	case resp := <-answer:
		return resp, nil
	case <-ended:
		return response{}, nil
	case <-c.done:
		select {
		case resp := <-answer: // it came with the last bytes
			return resp, nil
		default:
			return response{}, c.lost()
		}
	case <-ctx.Done():
		c.cancel(id)
		return response{}, context.Cause(ctx)
	}
}

// cancel tells the agent to give up. A full queue means that the guest reads
// nothing, so there is nobody to tell.
func (c *Client) cancel(id uint64) {
	if frame, err := encodeMessage(typeCancel, cancelRequest{id}); err == nil {
		select {
		case c.urgent <- frame:
		default:
		}
	}
}

func (c *Client) lost() error {
	cause := c.cause()
	if cause == nil || errors.Is(cause, ErrClosed) {
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrClosed, cause)
}

// Close ends the session and waits for every goroutine of the client. It does
// not ask the guest for anything.
func (c *Client) Close() error {
	c.stopOnce.Do(func() {
		close(c.stop)
		c.closeErr = c.conn.Close()
	})
	c.tasks.Wait()
	return c.closeErr
}
