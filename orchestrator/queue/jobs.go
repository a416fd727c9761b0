package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/headwatch/headwatch/orchestrator"
)

// Names on the server. A job's subject is subjects.<kind>.<id>.
const (
	stream   = "headwatch-jobs"
	consumer = "workers"
	subjects = "headwatch.jobs"
	maxJob   = 64 << 10 // bytes of a job as JSON
)

var jobID = regexp.MustCompile(`^[a-z0-9-]{1,100}$`)

func subject(j orchestrator.Job) string {
	return subjects + "." + string(j.Kind) + "." + j.ID
}

// ensure makes the stream and its consumer be as this version wants them.
func (q *Queue) ensure(ctx context.Context) error {
	_, err := q.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:        stream,
		Description: "open jobs of headwatch",
		Subjects:    []string{subjects + ".>"},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.WorkQueuePolicy,
		MaxMsgSize:  maxJob,
		// A second copy of a job is refused for as long as the first is queued or
		// leased.
		MaxMsgsPerSubject:    1,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
	})
	if errors.Is(err, nats.ErrNoResponders) {
		return errors.New("JetStream is not enabled on the server: start it with -js")
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	return q.ensureConsumer(ctx)
}

func (q *Queue) ensureConsumer(ctx context.Context) error {
	_, err := q.js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable:   consumer,
		AckPolicy: jetstream.AckExplicitPolicy,
		AckWait:   q.lease,
		// Attempts are counted in the store. A returned job that waits for its
		// delay counts as pending, and must not keep others from being handed out.
		MaxDeliver:    -1,
		MaxAckPending: -1,
	})
	if err != nil {
		return fmt.Errorf("consumer %s of stream %s: %w", consumer, stream, err)
	}
	return nil
}

// Publish queues a job. A job that is queued or leased already stays as it is.
func (q *Queue) Publish(ctx context.Context, j orchestrator.Job) error {
	ctx, leave, err := q.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return q.publish(ctx, j)
}

func (q *Queue) publish(ctx context.Context, j orchestrator.Job) error {
	data, err := encode(j)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	_, err = q.js.Publish(ctx, subject(j), data, jetstream.WithExpectStream(stream))
	if err != nil && !isQueued(err) {
		return fmt.Errorf("queue job %s: %w", j.ID, err)
	}
	return nil
}

// isQueued says whether the server refused a job because it has it. It gives
// every refusal to store a message the same code; the text tells them apart.
func isQueued(err error) bool {
	const storeFailed = jetstream.ErrorCode(10077)
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == storeFailed &&
		strings.Contains(api.Description, "maximum messages per subject exceeded")
}

func encode(j orchestrator.Job) ([]byte, error) {
	if err := valid(j); err != nil {
		return nil, err
	}
	data, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", j.ID, err)
	}
	if len(data) > maxJob {
		return nil, fmt.Errorf("job %s: %d bytes, at most %d can be queued", j.ID, len(data), maxJob)
	}
	return data, nil
}

// decode reads a job as it came from the server.
func decode(subj string, data []byte) (orchestrator.Job, error) {
	var j orchestrator.Job
	if err := json.Unmarshal(data, &j); err != nil {
		return j, err
	}
	if err := valid(j); err != nil {
		return j, err
	}
	if subj != subject(j) {
		return j, fmt.Errorf("job %s of kind %s lies under %s", j.ID, j.Kind, subj)
	}
	return j, nil
}

func valid(j orchestrator.Job) error {
	if !jobID.MatchString(j.ID) {
		return fmt.Errorf("job id %.120q: expected 1 to 100 of a-z, 0-9 and -", j.ID)
	}
	if j.Kind != orchestrator.BuildJob && j.Kind != orchestrator.RunJob {
		return fmt.Errorf("job %s: unknown kind %.40q", j.ID, j.Kind)
	}
	return nil
}

// Rebuild makes the queue hold exactly these jobs, in this order and none of them
// leased. It purges rather than compares: the server never uses a sequence number
// twice, so what a worker of before still says about its lease reaches nothing.
func (q *Queue) Rebuild(ctx context.Context, jobs []orchestrator.Job) error {
	ctx, leave, err := q.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	err = q.js.DeleteConsumer(ctx, stream, consumer)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("rebuild queue: take leases back: %w", err)
	}
	s, err := q.js.Stream(ctx, stream)
	if err == nil {
		err = s.Purge(ctx)
	}
	if err != nil {
		return fmt.Errorf("rebuild queue: purge: %w", err)
	}
	for _, j := range jobs {
		if err := q.publish(ctx, j); err != nil {
			return fmt.Errorf("rebuild queue: %w", err)
		}
	}
	return q.ensureConsumer(ctx)
}
