package config

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/sluice-go/sluice/drivers"
)

// embedded returns the URL of an embedded queue with the parameters that its
// configuration asks for. Such a queue is made when it is opened, with what its
// URL says, and nobody applies a configuration to it before. Any other URL is
// returned as it is.
func (q *Queue) embedded(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "mem" && u.Scheme != "sqlite" {
		return rawURL, nil //nolint:nilerr // a malformed one is the driver's to refuse
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return rawURL, nil //nolint:nilerr // and so is a malformed query
	}
	var faults []error
	set := func(key, param, value string) {
		if values.Has(param) {
			faults = append(faults, fmt.Errorf("the URL has %s=%s, and queues.%s.%s says %s: give one of them",
				param, values.Get(param), q.Name, key, value))
		}
		values.Set(param, value)
	}
	s := &q.Spec
	if s.VisibilityTimeout > 0 {
		set("visibility_timeout", "visibility_timeout", FormatDuration(s.VisibilityTimeout))
	}
	if s.Retention > 0 {
		set("retention", "retention", FormatDuration(s.Retention))
	}
	if s.FIFO {
		set("fifo", "ordered", "true")
	}
	if s.DeadLetter != nil {
		set("dead_letter.max_attempts", "max_attempts", strconv.Itoa(s.DeadLetter.MaxAttempts))
	}
	if len(faults) > 0 {
		return "", &drivers.Error{Code: drivers.Invalid, Queue: q.Name, Op: "open", Err: errors.Join(faults...)}
	}
	u.RawQuery = values.Encode()
	return u.String(), nil
}
