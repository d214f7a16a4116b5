package drivers

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice/handler"
)

// The attributes that say why a message is in a dead-letter queue, the same on
// every provider. They are set when a message is rejected; what the provider
// dead-letters by its own count carries what the provider adds.
const (
	// AttributeDeadLetterReason is the error's text, cut to [MaxReason] bytes.
	AttributeDeadLetterReason = "sluice-dead-letter-reason"
	// AttributeDeadLetterAttempt is the attempt that failed last, in decimal.
	// It is left out if the provider does not count.
	AttributeDeadLetterAttempt = "sluice-dead-letter-attempt"
	// AttributeDeadLetterFirst and AttributeDeadLetterLast are when the message
	// failed first, as far as that is known, and last, as RFC 3339 says.
	AttributeDeadLetterFirst = "sluice-dead-letter-first-failed"
	AttributeDeadLetterLast  = "sluice-dead-letter-last-failed"
	// AttributeDeadLetterQueue is the queue that the message was rejected from.
	AttributeDeadLetterQueue = "sluice-dead-letter-queue"
	// AttributeDeadLetterConsumer names the process that rejected it.
	AttributeDeadLetterConsumer = "sluice-dead-letter-consumer"
	// AttributeDeadLetter is all of them in one, as JSON, if the message has
	// no room for more. [UnpackFailure] takes it apart.
	AttributeDeadLetter = "sluice-dead-letter"
)

// MaxReason is the most bytes of a [Failure]'s Reason that go with a dead
// letter.
const MaxReason = 1 << 10

var failureAttributes = [...]string{
	AttributeDeadLetterReason, AttributeDeadLetterAttempt, AttributeDeadLetterFirst,
	AttributeDeadLetterLast, AttributeDeadLetterQueue, AttributeDeadLetterConsumer,
}

// A DeadLetter is the history of a dead letter, from its attributes.
type DeadLetter struct {
	Failure
	// Attempt is the attempt that failed last; 0 if it is not known.
	Attempt int
	// Queue is the queue that the message came from.
	Queue string
}

// packed is the form in one attribute. Its names are short because the
// attribute counts towards the size of the message.
type packed struct {
	Reason   string `json:"reason,omitempty"`
	Attempt  int    `json:"attempt,omitempty"`
	First    string `json:"first_failed,omitempty"`
	Last     string `json:"last_failed,omitempty"`
	Queue    string `json:"queue,omitempty"`
	Consumer string `json:"consumer,omitempty"`
	// Attributes are those of the message that had to make room for this one.
	Attributes map[string]string `json:"attributes,omitempty"`
}

// FailureAttributes returns the attributes that m gets as a dead letter of
// queue: its own, and those that say why, in place of older ones of that kind.
// They are at most limit, where that is not zero: the failure is then packed
// into [AttributeDeadLetter], and if even that one is too many, so are as many
// of m's own attributes as must make room for it. Nothing is lost, and
// [UnpackFailure] restores it. The map is a new one. A nil f gives no reason
// and no times.
func FailureAttributes(f *Failure, m *handler.Message, queue string, limit int) map[string]string {
	d := DeadLetter{Queue: queue, Attempt: m.Attempt}
	if f != nil {
		d.Failure = *f
	}
	attributes := WithoutFailure(m.Attributes)
	failure := d.attributes()
	if limit <= 0 || len(attributes)+len(failure) <= limit {
		maps.Copy(attributes, failure)
		return attributes
	}
	p := packed{
		Reason: failure[AttributeDeadLetterReason], Attempt: d.Attempt,
		First: failure[AttributeDeadLetterFirst], Last: failure[AttributeDeadLetterLast],
		Queue: d.Queue, Consumer: failure[AttributeDeadLetterConsumer],
	}
	// The longest names make room first: what is short is likelier to be read
	// by others on the way, such as traceparent.
	names := slices.SortedFunc(maps.Keys(attributes), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		if len(attributes) < limit {
			break
		}
		if p.Attributes == nil {
			p.Attributes = map[string]string{}
		}
		p.Attributes[name] = attributes[name]
		delete(attributes, name)
	}
	text, err := json.Marshal(p)
	if err != nil { // cannot be: p is strings and a number
		text = []byte("{}")
	}
	attributes[AttributeDeadLetter] = string(text)
	return attributes
}

// attributes returns d as attributes, with none that is empty: SQS has no empty
// values.
func (d *DeadLetter) attributes() map[string]string {
	out := make(map[string]string, len(failureAttributes))
	set := func(name, value string) {
		if value != "" {
			out[name] = value
		}
	}
	set(AttributeDeadLetterReason, cutReason(d.Reason))
	if d.Attempt > 0 {
		set(AttributeDeadLetterAttempt, strconv.Itoa(d.Attempt))
	}
	set(AttributeDeadLetterFirst, formatTime(d.First))
	set(AttributeDeadLetterLast, formatTime(d.Last))
	set(AttributeDeadLetterQueue, d.Queue)
	set(AttributeDeadLetterConsumer, strings.ToValidUTF8(d.Consumer, "\uFFFD"))
	return out
}

// cutReason makes valid UTF-8 of at most MaxReason bytes.
func cutReason(s string) string {
	// An error's text can hold megabytes; only what can survive is looked at.
	if len(s) > 2*MaxReason {
		s = s[:2*MaxReason]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= MaxReason {
		return s
	}
	end := MaxReason
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// ParseFailure reads the attributes of a dead letter, in either form. It returns
// false if they say nothing of a failure. Values that make no sense count as not
// given.
func ParseFailure(attributes map[string]string) (DeadLetter, bool) {
	if _, ok := attributes[AttributeDeadLetter]; ok {
		attributes = maps.Clone(attributes)
		UnpackFailure(attributes)
	}
	found := false
	get := func(name string) string {
		v, ok := attributes[name]
		found = found || ok
		return v
	}
	d := DeadLetter{Queue: get(AttributeDeadLetterQueue)}
	if n, err := strconv.Atoi(get(AttributeDeadLetterAttempt)); err == nil && n > 0 {
		d.Attempt = n
	}
	d.Reason = get(AttributeDeadLetterReason)
	d.First = parseTime(get(AttributeDeadLetterFirst))
	d.Last = parseTime(get(AttributeDeadLetterLast))
	d.Consumer = get(AttributeDeadLetterConsumer)
	return d, found
}

// UnpackFailure puts what [AttributeDeadLetter] holds back into attributes of
// their own, so that dead letters read the same whether they were packed or
// not. Drivers call it on the attributes of what they receive. One that is
// malformed is left as it is: somebody else's.
func UnpackFailure(attributes map[string]string) {
	text, ok := attributes[AttributeDeadLetter]
	if !ok {
		return
	}
	var p packed
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return
	}
	delete(attributes, AttributeDeadLetter)
	for name, value := range p.Attributes {
		if _, taken := attributes[name]; !taken && !ofFailure(name, value) {
			attributes[name] = value
		}
	}
	d := DeadLetter{
		Failure: Failure{Reason: p.Reason, First: parseTime(p.First), Last: parseTime(p.Last), Consumer: p.Consumer},
		Attempt: p.Attempt, Queue: p.Queue,
	}
	maps.Copy(attributes, d.attributes())
}

// ofFailure reports whether an attribute describes a failure. A letter that was packed here
// has none among the attributes of its message: one that is there is a sender's, who wants
// it to outlive the removal of the others.
func ofFailure(name, value string) bool {
	if name == AttributeDeadLetter {
		var p packed
		return json.Unmarshal([]byte(value), &p) == nil
	}
	return slices.Contains(failureAttributes[:], name)
}

// WithoutFailure returns a copy of the attributes of a dead letter as they were
// before it became one. It is never nil.
func WithoutFailure(attributes map[string]string) map[string]string {
	out := make(map[string]string, len(attributes)+len(failureAttributes))
	maps.Copy(out, attributes)
	UnpackFailure(out)
	for _, name := range failureAttributes {
		delete(out, name)
	}
	return out
}
