package exechandler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/internal/tracecontext"
	"github.com/sluice-go/sluice/internal/attribute"
)

// A delivery is a message as a worker reads it.
type delivery struct {
	ID            string            `json:"id"`
	Queue         string            `json:"queue"`
	Attempt       int               `json:"attempt"`
	Body          *string           `json:"body,omitempty"`
	BodyBase64    *[]byte           `json:"body_base64,omitempty"`
	Attributes    map[string]string `json:"attributes,omitempty"`
	Group         string            `json:"group,omitempty"`
	DedupeID      string            `json:"dedupe_id,omitempty"`
	EnqueuedAt    time.Time         `json:"enqueued_at,omitzero"`
	LeaseDeadline time.Time         `json:"lease_deadline,omitzero"`
	TraceParent   string            `json:"traceparent,omitempty"`
	TraceState    string            `json:"tracestate,omitempty"`
}

// encode writes a message as a line.
func encode(ctx context.Context, m *handler.Message) ([]byte, error) {
	// A worker's decoder may fold the case of names, as Go's does.
	passed, _ := attribute.Passed(m.Attributes)
	d := delivery{
		ID: m.ID, Queue: m.Origin().Queue, Attempt: m.Attempt, Attributes: passed, Group: m.Group, DedupeID: m.DedupeID,
		EnqueuedAt: m.EnqueuedAt.UTC(), LeaseDeadline: m.Lease().Deadline().UTC(),
	}
	if utf8.Valid(m.Body) {
		body := string(m.Body)
		d.Body = &body
	} else {
		d.BodyBase64 = &m.Body
	}
	d.TraceParent, d.TraceState = tracecontext.Of(ctx, m)
	var line bytes.Buffer
	line.Grow(len(m.Body) + len(m.Body)/8 + 512)
	e := json.NewEncoder(&line) // which ends with a line feed, and has no other
	e.SetEscapeHTML(false)
	if err := e.Encode(&d); err != nil {
		return nil, err
	}
	return line.Bytes(), nil
}

// An answer is what a worker has said about a message.
type answer struct {
	// verdict is what a handler returns.
	verdict error
	// id is the message's, or "" if the worker did not send it back.
	id string
}

// longestReason limits the reason of a worker; a longer one is cut.
const longestReason = 4 << 10

// parseAnswer reads a line that a worker wrote. It is strict: whatever it does
// not know could be a verdict that it does not understand, and must not become
// an ack.
func parseAnswer(line []byte) (answer, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return answer{}, errors.New("it is not a JSON object")
	}
	var verdict, reason, id string
	var after time.Duration
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return answer{}, errors.New("it is not a JSON object")
		}
		name, _ := t.(string)
		if seen[name] {
			return answer{}, fmt.Errorf("the member %.40q occurs twice", name)
		}
		seen[name] = true
		switch name {
		case "verdict":
			err = decodeString(d, &verdict)
		case "error":
			err = decodeString(d, &reason)
		case "id":
			err = decodeString(d, &id)
		case "after":
			after, err = decodeDelay(d)
		default:
			return answer{}, fmt.Errorf("unknown member %.40q: known are verdict, after, error and id", name)
		}
		if errors.Is(err, errNull) {
			seen[name] = false // as if it were not there
		} else if err != nil {
			return answer{}, fmt.Errorf("the member %q: %w", name, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return answer{}, errors.New("it is not a JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return answer{}, errors.New("there is data after the JSON object")
	}
	err, fault := decide(verdict, reason, after, seen)
	return answer{verdict: err, id: id}, fault
}

// decide turns the members of an answer into what a handler returns.
func decide(verdict, reason string, after time.Duration, seen map[string]bool) (result, fault error) {
	if seen["after"] && verdict != "retry" {
		return nil, fmt.Errorf("the member \"after\" is not allowed with the verdict %.40q", verdict)
	}
	cause := errors.New("the worker gave no reason")
	if reason != "" {
		cause = errors.New(cut(reason))
	}
	switch verdict {
	case "ack":
		if seen["error"] {
			return nil, errors.New(`the member "error" is not allowed with the verdict "ack"`)
		}
		return nil, nil
	case "retry":
		if seen["after"] {
			return handler.RetryAfter(after, cause), nil
		}
		return cause, nil
	case "reject":
		return handler.Reject(cause), nil
	case "drop":
		return handler.Drop(cause), nil
	default:
		return nil, fmt.Errorf("the verdict is %.40q: it must be ack, retry, reject or drop", verdict)
	}
}

var errNull = errors.New("it is null")

func decodeString(d *json.Decoder, s *string) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t == nil {
		return errNull
	}
	v, ok := t.(string)
	if !ok {
		return errors.New("it is not a string")
	}
	*s = v
	return nil
}

// decodeDelay reads seconds, or a string as in "30s".
func decodeDelay(d *json.Decoder) (time.Duration, error) {
	t, err := d.Token()
	if err != nil {
		return 0, err
	}
	switch v := t.(type) {
	case nil:
		return 0, errNull
	case float64:
		return seconds(v)
	case string:
		if s, err := strconv.ParseFloat(v, 64); err == nil {
			return seconds(s) // a number all the same
		}
		delay, err := time.ParseDuration(v)
		if err != nil {
			return 0, fmt.Errorf("%.40q is neither seconds nor a duration such as \"30s\"", v)
		}
		if delay < 0 {
			return 0, fmt.Errorf("%v is negative", delay)
		}
		return delay, nil
	default:
		return 0, errors.New(`it is neither seconds nor a duration such as "30s"`)
	}
}

func seconds(s float64) (time.Duration, error) {
	if s < 0 || math.IsNaN(s) {
		return 0, fmt.Errorf("%v seconds are negative", s)
	}
	if s >= float64(math.MaxInt64)/float64(time.Second) {
		return 0, fmt.Errorf("%v seconds are too long", s)
	}
	return time.Duration(s * float64(time.Second)), nil
}

// cut shortens a reason, not in the middle of a character.
func cut(reason string) string {
	if len(reason) <= longestReason {
		return reason
	}
	end := longestReason
	for end > 0 && !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end] + "..."
}
