package scaler

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/internal/nearest"
)

// The keys of a trigger's metadata. KEDA adds scalerAddress and others of its own.
const (
	keyQueue   = "queue"
	keyDrain   = "drainTime"
	keyRate    = "messagesPerSecond"
	keyWorkers = "workers"
)

// keys are the scaler's own, and others are KEDA's.
var (
	keys   = []string{keyQueue, keyDrain, keyRate, keyWorkers}
	others = []string{"scalerAddress", "caCert", "tlsCertFile", "tlsClientCert", "tlsClientKey", "unsafeSsl", "enableTLS"}
)

// A target is what a ScaledObject asks for.
type target struct {
	queue   string
	drain   time.Duration
	rate    float64 // a replica's, until it is measured; zero if not given
	workers string  // the URL of the workers' metrics; empty if not given
}

// parse reads a trigger's metadata. Its error is a status.
func parse(metadata map[string]string, drain time.Duration) (t target, err error) {
	refuse := func(format string, args ...any) (target, error) {
		return target{}, status.Errorf(codes.InvalidArgument, "metadata of the trigger: "+format, args...)
	}
	for _, k := range slices.Sorted(maps.Keys(metadata)) {
		if slices.Contains(keys, k) || slices.Contains(others, k) {
			continue
		}
		if n := nearest.Of(k, keys); n != "" {
			return refuse("unknown key %q: did you mean %q?", k, n)
		}
		return refuse("unknown key %q (known: %s)", k, strings.Join(keys, ", "))
	}
	t = target{queue: metadata[keyQueue], drain: drain, workers: metadata[keyWorkers]}
	if t.queue == "" {
		return refuse("%s is missing: the name of a queue of the configuration", keyQueue)
	}
	if s, ok := metadata[keyDrain]; ok {
		if t.drain, err = time.ParseDuration(s); err != nil || t.drain <= 0 {
			return refuse("%s=%s: it is a time above zero, such as 5m", keyDrain, s)
		}
	}
	if s, ok := metadata[keyRate]; ok {
		if t.rate, err = strconv.ParseFloat(s, 64); err != nil || !(t.rate > 0) || t.rate > 1e9 {
			return refuse("%s=%s: it is a number above zero", keyRate, s)
		}
	}
	if t.workers != "" {
		u, err := url.Parse(t.workers)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return refuse("%s=%s: it is the URL of the workers' metrics, such as http://orders.default.svc:9464/metrics", keyWorkers, t.workers)
		}
	}
	if t.rate == 0 && t.workers == "" {
		return refuse("give %s, by which the throughput of a replica is measured, or %s, or both", keyWorkers, keyRate)
	}
	return t, nil
}

// metric names the metric of the target, as Kubernetes takes names.
func (t target) metric() string {
	var b strings.Builder
	b.WriteString("sluice-")
	for _, r := range strings.ToLower(t.queue) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else {
			b.WriteByte('-')
		}
	}
	return b.String()
}

// String names the target in logs.
func (t target) String() string { return fmt.Sprintf("%s by %v", t.queue, t.drain) }
