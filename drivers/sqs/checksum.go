package sqs

import (
	"crypto/md5" //nolint:gosec // SQS's checksum, which protects from nothing but accidents
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
)

// whole returns the messages that arrived undamaged, in from's memory, and an error
// that describes the others. These are redelivered when their leases end. On a FIFO
// queue whole also leaves out the later messages of a damaged one's group: they must
// not overtake it.
func whole(q *queue, op string, from []types.Message) ([]types.Message, error) {
	damaged := 0
	for i := range from {
		if isDamaged(&from[i]) {
			damaged++
		}
	}
	if damaged == 0 {
		return from, nil
	}
	var (
		good = from[:0]
		held = map[string]bool{}
		why  []error
		kept int
	)
	for i := range from {
		m := &from[i]
		group := m.Attributes[sysGroup]
		switch {
		case isDamaged(m):
			why = append(why, fmt.Errorf("message %s: the MD5 of its body is not %s", deref(m.MessageId), deref(m.MD5OfBody)))
			held[group] = true
		case q.fifo && held[group]:
			kept++
		default:
			good = append(good, *m)
		}
	}
	text := fmt.Sprintf("%d of %d messages were damaged and stay in the queue until their leases end", damaged, len(from))
	if kept > 0 {
		text += fmt.Sprintf(", with %d later ones of their groups", kept)
	}
	return good, &drivers.Error{Code: drivers.Transient, Queue: q.name, Op: op, Err: fmt.Errorf("%s: %w", text, errors.Join(why...))}
}

// isDamaged reports whether the body differs from its checksum. A message without a
// checksum is not damaged: some servers leave it out.
func isDamaged(m *types.Message) bool {
	return m.MD5OfBody != nil && m.Body != nil && !hasMD5(*m.Body, *m.MD5OfBody)
}

// hasMD5 reports whether want is the MD5 of body, in hexadecimal.
func hasMD5(body, want string) bool {
	var room [1 << 10]byte                    // most bodies need no memory of the heap
	got := md5.Sum(append(room[:0], body...)) //nolint:gosec // see above
	if len(want) != 2*len(got) {
		return false
	}
	const digits = "0123456789abcdef"
	for i, b := range got {
		if lower(want[2*i]) != digits[b>>4] || lower(want[2*i+1]) != digits[b&15] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'F' {
		return c + ('a' - 'A')
	}
	return c
}
