package scaler

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/sluice-go/sluice/cmd/sluice/internal/scaler/externalscaler"
	"github.com/sluice-go/sluice/drivers"
)

const (
	// countEvery is how long a count is good for: KEDA and the autoscaler both ask.
	countEvery = 5 * time.Second
	// countTime bounds a count. KEDA waits for some seconds.
	countTime = 5 * time.Second
	// streamEvery is how often a stream looks whether a queue became active.
	streamEvery = 5 * time.Second
	// scale is the number of parts of a second in the metric: KEDA's older releases, and
	// the target, have whole numbers.
	scale = 1000
)

// Config configures a Scaler.
type Config struct {
	// Queues are the sources that may be asked for, by name. Each is a
	// drivers.Inspector, or nil until Add brings it.
	Queues map[string]drivers.Source
	// Drain is the drain time of a trigger that gives none.
	Drain time.Duration
	// Logger gets the workers that can't be scraped. It is not nil.
	Logger *slog.Logger
}

// A Scaler answers KEDA. Its methods may be called concurrently.
type Scaler struct {
	pb.UnimplementedExternalScalerServer
	drain   time.Duration
	log     *slog.Logger
	workers workers
	every   time.Duration // between two looks of a stream

	mu     sync.Mutex
	queues map[string]*queue // nil if its source is not there yet
	meters map[string]*meter // by queue and URL of the workers
}

// New returns a Scaler.
func New(c Config) (*Scaler, error) {
	s := &Scaler{
		drain: c.Drain, log: c.Logger, every: streamEvery, queues: make(map[string]*queue), meters: make(map[string]*meter),
		workers: workers{client: &http.Client{}, lookup: net.DefaultResolver.LookupHost},
	}
	for name, source := range c.Queues {
		s.queues[name] = nil
		if source == nil {
			continue
		}
		if err := s.Add(name, source); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Add brings the source of a queue that was not there when the Scaler was made.
func (s *Scaler) Add(name string, source drivers.Source) error {
	inspector, ok := source.(drivers.Inspector)
	if !ok {
		return errors.New("queue " + name + ": its driver cannot count")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues[name] = &queue{inspector: inspector, label: source.Capabilities().Queue}
	return nil
}

// A queue counts its messages.
type queue struct {
	inspector drivers.Inspector
	label     string // as metrics name it

	mu    sync.Mutex
	at    time.Time
	depth drivers.Depth
}

// count returns the depth, at most countEvery old.
func (q *queue) count(ctx context.Context) (drivers.Depth, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.at.IsZero() && time.Since(q.at) < countEvery {
		return q.depth, nil
	}
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	d, err := q.inspector.Depth(ctx)
	if err == nil && d.Visible == drivers.Unknown {
		err = errors.New("the provider does not report how many messages there are")
	}
	if err != nil {
		// KEDA keeps what it has, and does not scale to zero.
		return d, status.Error(codes.Unavailable, err.Error())
	}
	q.depth, q.at = d, time.Now()
	return d, nil
}

// backlog is the number of messages that wait, or are being handled.
func backlog(d drivers.Depth) int64 { return d.Visible + max(d.InFlight, 0) }

// find returns what a ScaledObject asks for.
func (s *Scaler) find(ref *pb.ScaledObjectRef) (target, *queue, error) {
	t, err := parse(ref.GetScalerMetadata(), s.drain)
	if err != nil {
		return t, nil, err
	}
	s.mu.Lock()
	q, known := s.queues[t.queue]
	s.mu.Unlock()
	switch {
	case !known:
		return t, nil, status.Errorf(codes.NotFound, "queue %q is none of those that this scaler was started with", t.queue)
	case q == nil:
		return t, nil, status.Errorf(codes.Unavailable, "queue %q could not be opened yet: the scaler's log says why", t.queue)
	}
	return t, q, nil
}

// IsActive reports whether the queue has a message that is visible or in flight.
func (s *Scaler) IsActive(ctx context.Context, ref *pb.ScaledObjectRef) (*pb.IsActiveResponse, error) {
	_, q, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	d, err := q.count(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.IsActiveResponse{Result: backlog(d) > 0}, nil
}

// StreamIsActive sends whether the queue is active, and each change. A count that fails
// changes nothing.
func (s *Scaler) StreamIsActive(ref *pb.ScaledObjectRef, stream pb.ExternalScaler_StreamIsActiveServer) error {
	t, q, err := s.find(ref)
	if err != nil {
		return err
	}
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	var known, was bool
	for {
		d, err := q.count(stream.Context())
		switch active := backlog(d) > 0; {
		case err != nil:
			s.log.Warn("a queue was not counted", "queue", t.queue, "error", err)
		case !known || active != was:
			if err := stream.Send(&pb.IsActiveResponse{Result: active}); err != nil {
				return err
			}
			known, was = true, active
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-tick.C:
		}
	}
}

// GetMetricSpec returns the target: the drain time, in thousandths of a second.
func (s *Scaler) GetMetricSpec(_ context.Context, ref *pb.ScaledObjectRef) (*pb.GetMetricSpecResponse, error) {
	t, _, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	size := t.drain.Seconds() * scale
	return &pb.GetMetricSpecResponse{MetricSpecs: []*pb.MetricSpec{{
		MetricName: t.metric(), TargetSize: int64(math.Ceil(size)), TargetSizeFloat: size,
	}}}, nil
}

// GetMetrics returns how long one replica would take for the backlog, in thousandths of a
// second.
func (s *Scaler) GetMetrics(ctx context.Context, r *pb.GetMetricsRequest) (*pb.GetMetricsResponse, error) {
	t, q, err := s.find(r.GetScaledObjectRef())
	if err != nil {
		return nil, err
	}
	d, err := q.count(ctx)
	if err != nil {
		return nil, err
	}
	n := float64(backlog(d))
	value := n / s.throughput(ctx, t, q, d) * scale
	if math.IsInf(value, 0) || math.IsNaN(value) {
		// Nothing is known of a replica yet: one is needed to measure it.
		value = math.Min(n, 1) * t.drain.Seconds() * scale
	}
	return &pb.GetMetricsResponse{MetricValues: []*pb.MetricValue{{
		MetricName: t.metric(), MetricValue: int64(math.Min(math.Ceil(value), math.MaxInt64/2)), MetricValueFloat: value,
	}}}, nil
}

// throughput returns what a replica handles in a second, as it was measured, or else as
// the trigger says; zero if neither is known.
func (s *Scaler) throughput(ctx context.Context, t target, q *queue, d drivers.Depth) float64 {
	if t.workers == "" {
		return t.rate
	}
	key := t.queue + "\x00" + t.workers
	s.mu.Lock()
	m := s.meters[key]
	if m == nil {
		m = &meter{}
		s.meters[key] = m
	}
	s.mu.Unlock()
	handled, err := s.workers.handled(ctx, t.workers, q.label)
	if err != nil {
		if d.Visible == 0 && d.InFlight <= 0 {
			s.log.Debug("no worker was scraped", "target", t.String(), "error", err)
		} else {
			s.log.Warn("no worker was scraped: the throughput of a replica is the one measured last", "target", t.String(), "error", err)
		}
	} else {
		m.add(sample{at: time.Now(), waiting: d.Visible > 0, handled: handled})
	}
	if rate := m.measured(); rate > 0 {
		return rate
	}
	return t.rate
}
