package service

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/internal/stopper"
)

// ErrRunTwice is returned by a second call of [Service.Run].
var ErrRunTwice = errors.New("a service runs once")

// A Service runs handlers on queues. Make one with [New], name its handlers with
// [Service.Handle] and call [Service.Run] once. Health and Abort may be called
// concurrently with Run; Handle and HandleQueue may not.
type Service struct {
	conf    *config.Config
	options Options
	workers []*worker
	faults  []error // of Handle

	begun atomic.Bool

	mu      sync.Mutex // guards the fields below
	running []running
	aborted bool
}

// A running is a consumer or a relay that runs.
type running interface {
	Health() consumer.Health
	Abort()
}

// New returns a service of the queues of conf. A nil conf is what config.Load loads with
// [Options].OpenTable.
// The error names every fault of the configuration and every option that is wrong.
func New(conf *config.Config, o *Options) (*Service, error) {
	var unread error
	options, err := o.complete()
	if conf == nil {
		conf, unread = config.Load(&config.Options{OpenTable: options.OpenTable})
	} else {
		err = errors.Join(err, setting.Refuse(options.OpenTable != nil, "OpenTable is set, and the configuration is loaded already: set config.Options.OpenTable"))
	}
	if err != nil {
		err = usage("service: %w", err)
	}
	if err := errors.Join(unread, err); err != nil {
		return nil, err
	}
	return &Service{conf: conf, options: options}, nil
}

// Handle has h handle the messages of a queue, which is named as in the configuration
// or by its URL. If there is no such queue, if it has a handler already, by another name
// too, or if h can't be used, Run returns an error that says so.
func (s *Service) Handle(queue string, h handler.Handler) {
	q, err := s.conf.Queue(queue)
	if err != nil {
		s.faults = append(s.faults, err)
		return
	}
	s.HandleQueue(q, h)
}

// HandleQueue is Handle for a queue that is not, or not so, in the configuration:
// sluice run has its flags in q.
func (s *Service) HandleQueue(q *config.Queue, h handler.Handler) {
	if err := handler.Check(h); err != nil {
		s.faults = append(s.faults, usage("queue %q: %w", q.Name, err))
	}
	for _, w := range s.workers {
		switch {
		case w.queue.Name == q.Name:
			s.faults = append(s.faults, usage("queue %q has two handlers: use one that routes, such as handler/route's", q.Name))
		case w.queue.Source != "" && w.queue.Source == q.Source:
			s.faults = append(s.faults, usage("the queues %q and %q are one queue (%s), and each message would go to the handler of either: give them different URLs, or one handler that routes, such as handler/route's",
				w.queue.Name, q.Name, config.Redact(q.Source)))
		}
	}
	s.workers = append(s.workers, &worker{queue: q, handler: h})
}

// Run handles messages until ctx is done or a signal asks to stop, drains, and returns
// nil; or consumer.ErrDrainTimeout if it could not drain in time. It returns an error
// before it has received anything if the configuration, an option or a call of Handle is
// wrong, or if a queue, a store or the admin listener can't be opened. If a queue refuses
// its consumer (see consumer.Consumer.Run), all are drained and Run returns that error.
// With the defaults it returns within 30 seconds of the stop, whatever hangs. Run blocks,
// and runs once.
func (s *Service) Run(ctx context.Context) error {
	if !s.begun.CompareAndSwap(false, true) {
		return ErrRunTwice
	}
	switch {
	case s.options.RelayOnly && len(s.workers) > 0:
		s.faults = append(s.faults, usage("service: RelayOnly is set, and a queue has a handler: set one of them"))
	case !s.options.RelayOnly && len(s.workers) == 0 && len(s.faults) == 0:
		s.faults = append(s.faults, usage("service: no queue has a handler: call Handle"))
	}
	if err := errors.Join(s.faults...); err != nil {
		return err
	}
	signals := stopper.New(ctx, s.options.Signals, s.options.Exit)
	defer signals.Close()
	defer context.AfterFunc(signals.Now, s.Abort)()
	r := &run{Service: s}
	err := r.open(signals.Stop)
	if err == nil {
		s.start(r.crews, r.relayer)
		err = r.work(signals.Stop)
	} else {
		if signals.Stop.Err() != nil {
			s.options.Logger.Info("stopped while it was starting", "error", err)
			err = nil
		}
		err = errors.Join(err, r.discard())
	}
	return errors.Join(err, r.close(ctx))
}

// start lets Health and Abort see the consumers, and the relay if there is one.
func (s *Service) start(crews []*crew, n *relayer) {
	s.mu.Lock()
	for _, c := range crews {
		s.running = append(s.running, c)
	}
	if n != nil {
		s.running = append(s.running, n.relay)
	}
	aborted := s.aborted
	s.mu.Unlock()
	if aborted {
		s.Abort()
	}
}

// Abort ends a drain, and begins one if there was none: handlers are canceled, and Run
// returns two seconds after [Options].StopTimeout at most. It does not block.
// The second signal does the same.
func (s *Service) Abort() {
	s.mu.Lock()
	s.aborted = true
	all := s.running
	s.mu.Unlock()
	for _, c := range all {
		c.Abort()
	}
}

// Health returns the state of all queues together: the worst of theirs, and the sums of
// their numbers. /livez, /readyz and /healthz serve it.
func (s *Service) Health() consumer.Health {
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	hs := make([]consumer.Health, len(running))
	for i, w := range running {
		hs[i] = w.Health()
	}
	return merge(hs)
}

// adminAddress returns where to listen, and whether profiles are served there.
func (s *Service) adminAddress() (addr string, profiles bool) {
	c := s.conf.Service()
	return cmp.Or(s.options.Admin, c.Admin, DefaultAdmin), c.Pprof
}
