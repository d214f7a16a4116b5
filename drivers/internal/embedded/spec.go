package embedded

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// WithSpec returns u with the parameters of a queue that s describes. It refuses
// what an embedded queue can't do, and a setting that u has too. A malformed query
// is returned unchanged; opening the URL reports it.
func WithSpec(u *url.URL, s *provision.Spec) (*url.URL, error) {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return u, nil //nolint:nilerr // see above
	}
	faults := unsupported(s)
	set := func(key, param, value string) {
		if values.Has(param) {
			faults = append(faults, fmt.Errorf("the URL has %s=%s, and queues.%s.%s says %s: give one of them",
				param, values.Get(param), s.Name, key, value))
		}
		values.Set(param, value)
	}
	if s.VisibilityTimeout > 0 {
		set("visibility_timeout", "visibility_timeout", format(s.VisibilityTimeout))
	}
	if s.Retention > 0 {
		set("retention", "retention", format(s.Retention))
	}
	if s.FIFO {
		set("fifo", "ordered", "true")
	}
	if d := s.DeadLetter; d != nil {
		if d.MaxAttempts > 0 {
			set("dead_letter.max_attempts", "max_attempts", strconv.Itoa(d.MaxAttempts))
		}
		if d.Retention > 0 {
			set("dead_letter.retention", "dead_letter_retention", format(d.Retention))
		}
		if d.Name != "" {
			// The configuration's name comes before the URL's, as on every provider.
			values.Set("dead_letter", d.Name)
		}
	}
	if len(faults) > 0 {
		return nil, &drivers.Error{Code: drivers.Invalid, Queue: s.Name, Op: "open", Err: errors.Join(faults...)}
	}
	with := *u
	with.RawQuery = values.Encode()
	return &with, nil
}

// unsupported returns an error for each key that an embedded queue can't honor.
func unsupported(s *provision.Spec) []error {
	var faults []error
	for _, k := range []struct {
		key   string
		given bool
		why   string
	}{
		{"exactly_once", s.ExactlyOnce, "an embedded queue delivers at least once; use the idempotency middleware"},
		{"retain_acked", s.RetainAcked, "an embedded queue does not keep acked messages"},
		{"kms_key", s.KMSKey != "", "an embedded queue is not encrypted; encrypt the disk"},
		{"tags", len(s.Tags) > 0, "an embedded queue has no tags"},
		{"alarms", s.Alarms != nil && *s.Alarms != provision.Alarms{}, "nothing watches an embedded queue; the consumer's metrics show its depth"},
	} {
		if k.given {
			faults = append(faults, fmt.Errorf("queues.%s.%s: %s", s.Name, k.key, k.why))
		}
	}
	return faults
}

// format writes a duration as parseDuration reads it.
func format(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return d.String()
}
