package httphandler

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// verdict reads the verdict out of an answer.
func (h *Handler) verdict(status int, retryAfter, said string) error {
	if status >= 200 && status <= 299 {
		return nil
	}
	err := fmt.Errorf("HTTP status %d %s", status, http.StatusText(status))
	if said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		if status >= 400 && status <= 499 {
			return handler.Reject(err)
		}
	}
	// A delay of nothing is no delay to keep to: it would spend all attempts in a moment.
	// The backoff middleware, or the queue, then decides.
	if d, ok := parseRetryAfter(retryAfter, h.config.Now()); ok && d > 0 {
		return handler.RetryAfter(min(d, h.config.MaxRetryAfter), err)
	}
	return err
}

// longestDelay is what a number of seconds is cut to that is beyond durations.
const longestDelay = 100 * 365 * 24 * time.Hour

// parseRetryAfter reads a Retry-After header, by RFC 9110 section 10.2.3 a number
// of seconds or a date; a date that has passed is no delay. What is neither is
// as if it were not there.
func parseRetryAfter(v string, now time.Time) (time.Duration, bool) {
	v = strings.TrimSpace(v)
	if v != "" && strings.Trim(v, "0123456789") == "" {
		seconds, err := strconv.ParseUint(v, 10, 64)
		if err != nil || seconds > uint64(longestDelay/time.Second) {
			return longestDelay, true // more digits than a number has
		}
		return time.Duration(seconds) * time.Second, true
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(now), 0), longestDelay), true
	}
	return 0, false
}
