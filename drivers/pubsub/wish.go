package pubsub

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// The limits of a subscription, from the service's API reference.
const (
	minDeadline     = 10 * time.Second
	minRetention    = 10 * time.Minute
	maxRetention    = 31 * 24 * time.Hour
	minAttempts     = 5
	maxAttempts     = 100
	maxRetryDelay   = 600 * time.Second
	defaultMinRetry = 10 * time.Second
	maxFilterBytes  = 256
	// emulatedRetention is the longest that every emulator takes: they keep to a
	// limit that the service once had.
	emulatedRetention = 7 * 24 * time.Hour
	// defaultRetention is that of a subscription that states none.
	defaultRetention = 7 * 24 * time.Hour
)

// A wish is the wanted state of a subscription and its parts. Zero fields are
// left alone.
type wish struct {
	sub, topic name
	// named reports whether the URL names the topic; otherwise that of a
	// subscription which exists already is as good.
	named                            bool
	deadline, retention              time.Duration
	ordered, exactlyOnce, keepsAcked bool
	retry                            *pubsubpb.RetryPolicy
	kmsKey                           string
	labels                           map[string]string
	// filter lets only the subscription's own redrives through. It is empty if
	// the subscription's name is too long for one.
	filter string

	dead          name // the dead-letter topic; zero if none is wanted
	deadSub       name // the subscription on it; zero where any will do
	attempts      int32
	deadRetention time.Duration

	number string // the project's number, if the URL gives it
}

// wishFor turns a URL and a specification into a wish.
func wishFor(u *url.URL, spec *provision.Spec) (*wish, error) {
	if err := drivers.CheckParams(u, sourceParams...); err != nil {
		return nil, err
	}
	sub, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	if sub.kind == kindTopic {
		return nil, &drivers.Error{Code: drivers.Invalid, Queue: sub.String(), Op: "plan",
			Err:    errors.New("this is a topic; only a subscription can be configured and examined as a queue"),
			Remedy: fmt.Sprintf("name %s://projects/%s/subscriptions/ID?%s=%s", scheme, sub.project, paramTopic, sub.id)}
	}
	w := &wish{
		sub: sub, topic: name{project: sub.project, kind: kindTopic, id: sub.id},
		deadline: spec.VisibilityTimeout, retention: spec.Retention,
		ordered: spec.FIFO, exactlyOnce: spec.ExactlyOnce, keepsAcked: spec.RetainAcked,
		kmsKey: spec.KMSKey, labels: spec.Tags, filter: redriveFilter(sub), number: u.Query().Get(paramNumber),
	}
	if err := w.fill(u.Query(), spec); err != nil {
		return nil, invalid(sub, "plan", err)
	}
	return w, nil
}

func (w *wish) fill(q url.Values, spec *provision.Spec) (err error) {
	if t := q.Get(paramTopic); t != "" {
		if w.topic, err = parseNameIn(w.sub.project, kindTopic, t); err != nil {
			return err
		}
		w.named = true
	}
	if _, err := strconv.ParseUint(w.number, 10, 64); err != nil && w.number != "" {
		return fmt.Errorf("%s=%s: a project's number has digits only", paramNumber, w.number)
	}
	switch d := spec.VisibilityTimeout; {
	case d != 0 && (d < minDeadline || d > maxDeadline || d%time.Second != 0):
		return fmt.Errorf("visibility_timeout is %v: Pub/Sub's ack deadline is in whole seconds, from %v to %v", d, minDeadline, maxDeadline)
	case !keepable(spec.Retention):
		return fmt.Errorf("retention is %v: Pub/Sub keeps messages for 10 minutes to 31 days", spec.Retention)
	}
	if err := checkLabels(spec.Tags); err != nil {
		return err
	}
	if w.retry, err = retryPolicy(spec.Retry); err != nil {
		return err
	}
	return w.fillDead(q, spec)
}

// policy is the dead-letter policy that is wished for, nil for none.
func (w *wish) policy() *pubsubpb.DeadLetterPolicy {
	if w.dead.zero() {
		return nil
	}
	return &pubsubpb.DeadLetterPolicy{DeadLetterTopic: w.dead.String(), MaxDeliveryAttempts: w.attempts}
}

func (w *wish) fillDead(q url.Values, spec *provision.Spec) (err error) {
	d := spec.DeadLetter
	if d == nil {
		return nil
	}
	topic := d.Name
	if inURL := q.Get(paramDeadLetter); inURL != "" {
		if topic != "" && topic != inURL {
			return fmt.Errorf("the URL names the dead-letter topic %q and the configuration %q: name one of them", inURL, topic)
		}
		topic = inURL
	}
	if topic == "" {
		topic = w.sub.id + "-dlq"
	}
	if w.dead, err = parseNameIn(w.sub.project, kindTopic, topic); err != nil {
		return err
	}
	if s := q.Get(paramDeadLetters); s != "" {
		if w.deadSub, err = parseNameIn(w.dead.project, kindSubscription, s); err != nil {
			return err
		}
	}
	attempts := d.MaxAttempts
	if attempts == 0 {
		attempts = defaultMaxAttempts
	}
	w.deadRetention = d.Retention
	if w.deadRetention == 0 {
		w.deadRetention = maxRetention
		if emulatorHost() != "" {
			w.deadRetention = max(emulatedRetention, w.retention)
		}
	}
	switch {
	case attempts < minAttempts || attempts > maxAttempts:
		return fmt.Errorf("dead_letter.max_attempts is %d: Pub/Sub accepts %d to %d; for fewer, let the backoff middleware reject (--max-attempts)",
			attempts, minAttempts, maxAttempts)
	case !keepable(d.Retention):
		return fmt.Errorf("dead_letter.retention is %v: Pub/Sub keeps messages for 10 minutes to 31 days", d.Retention)
	case w.retention > w.deadRetention:
		return fmt.Errorf("retention %v is above dead_letter.retention %v: letters would expire before messages", w.retention, w.deadRetention)
	case w.dead == w.topic:
		return errOwnLetters
	case w.deadSub == w.sub:
		return errOwnSubscription
	}
	w.attempts = int32(attempts) //nolint:gosec // from 5 to 100
	return nil
}

func keepable(d time.Duration) bool {
	return d == 0 || d >= minRetention && d <= maxRetention && d%time.Second == 0
}

// retryPolicy returns the policy of a specification, with the service's
// defaults for omitted values.
func retryPolicy(r *provision.Retry) (*pubsubpb.RetryPolicy, error) {
	if r == nil {
		return nil, nil //nolint:nilnil // no policy is wished for
	}
	least, most := r.Min, r.Max
	if most == 0 {
		most = maxRetryDelay
	}
	if least == 0 {
		least = min(defaultMinRetry, most)
	}
	if least < 0 || most > maxRetryDelay || least > most {
		return nil, fmt.Errorf("retry is from %v to %v: Pub/Sub's retry policy allows 0s to %v; use the backoff middleware for longer delays",
			least, most, maxRetryDelay)
	}
	return &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(least), MaximumBackoff: durationpb.New(most)}, nil
}

// The service takes international letters as well, but no capitals.
var (
	labelKey   = regexp.MustCompile(`^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$`)
	labelValue = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$`)
)

func checkLabels(tags map[string]string) error {
	for k, v := range tags {
		if !labelKey.MatchString(k) || !labelValue.MatchString(v) {
			return fmt.Errorf("tag %s=%s: a label of Google Cloud has at most 63 lower-case letters, digits, _ and -, and its name begins with a letter", k, v)
		}
	}
	return nil
}

// redriveFilter returns the filter that excludes messages redriven for another
// subscription. The filter language wants a key in quotes only if it has other
// characters than letters, digits, - and _; and pstest takes no quotes before a
// comparison.
func redriveFilter(sub name) string {
	f := fmt.Sprintf("NOT attributes:%[1]s OR attributes.%[1]s = %[2]q", attributeRedriveTarget, sub)
	if len(f) > maxFilterBytes {
		return ""
	}
	return f
}
