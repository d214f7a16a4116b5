package redrive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

const (
	// emptyWait is how long one look into the dead-letter queue waits. SQS asks
	// only some of its servers when it does not wait at all.
	emptyWait = time.Second
	// quietLooks is how many looks in a row must bring nothing before the
	// letters count as seen to the end.
	quietLooks = 2
	// atOnce bounds how many letters are received at the same time, and so how many a
	// crash doubles. SQS's own bound is 10.
	atOnce = 100
	// mostGiveBack bounds how long letters are given back.
	mostGiveBack = 2 * time.Minute
	// maxFaults letters that cannot be sent back are named.
	maxFaults = 10
)

type scan struct {
	Options
	letters drivers.Source
	back    drivers.Sink
	caps    drivers.Capabilities
	limiter *rate.Limiter
	result  Result
	seen    map[string]struct{} // letters by ID
	held    map[string]string   // receipts by ID: a letter that comes again has a new one
	faults  []error             // of letters that cannot be sent back
}

func runSelective(ctx context.Context, d deadletter.Opener, o Options) (_ Result, err error) {
	s := &scan{
		Options: o, seen: make(map[string]struct{}), held: make(map[string]string),
		result: Result{Mode: Selective, Total: drivers.Unknown},
	}
	if s.letters, err = d.OpenDeadLetters(ctx); err != nil {
		return s.result, err
	}
	defer func() { err = errors.Join(err, s.letters.Close()) }()
	if s.back, err = d.OpenRedrive(ctx); err != nil {
		return s.result, err
	}
	defer func() { err = errors.Join(err, s.back.Close()) }()
	s.caps = s.letters.Capabilities()
	if o.Rate > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(o.Rate), s.batch())
	}
	err = s.run(ctx)
	if len(s.faults) > 0 {
		err = errors.Join(err, fmt.Errorf("%d letters cannot be sent back as they are: %w", s.result.Failed, errors.Join(s.faults...)))
	}
	if giveErr := s.giveBack(ctx); giveErr != nil {
		err = errors.Join(err, fmt.Errorf("letters that were not brought back stay out of sight for up to %v: %w", s.Hold, giveErr))
	}
	return s.result, err
}

// run looks through the letters until they are seen to the end, the wanted ones
// are found, or something fails.
func (s *scan) run(ctx context.Context) error {
	// Letters come again where their hold has run out during a long scan. They
	// are all seen again when as many came as are held.
	for empty, again := 0, 0; empty < quietLooks && again <= len(s.held) && !s.enough(); {
		ds, err := s.receive(ctx)
		if err != nil {
			return err
		}
		wanted, others, old := s.sort(ds)
		switch {
		case len(ds) == 0:
			empty++
		case old == len(ds):
			again += old
		default:
			empty, again = 0, 0
		}
		if ctx.Err() != nil {
			s.note(wanted, others)
			return context.Cause(ctx)
		}
		if err := s.move(ctx, wanted); err != nil {
			s.note(others)
			return err
		}
		if err := s.hold(ctx, others); err != nil {
			return err
		}
		s.Progress(s.result)
	}
	return nil
}

func (s *scan) receive(ctx context.Context) ([]drivers.Delivery, error) {
	for try := 1; ; try++ {
		ds, err := s.letters.Receive(ctx, s.batch(), emptyWait)
		if err == nil || len(ds) > 0 {
			return ds, nil // one that came damaged comes again
		}
		if !again(ctx, try, err) {
			return nil, ended(ctx, err)
		}
	}
}

// sort separates the wanted letters from the others, of which old ones were seen
// before.
func (s *scan) sort(ds []drivers.Delivery) (wanted, others []drivers.Delivery, old int) {
	for _, d := range ds {
		if _, seen := s.seen[d.Message.ID]; seen {
			old++
			others = append(others, d)
			continue
		}
		s.seen[d.Message.ID] = struct{}{}
		s.result.Seen++
		switch {
		case !s.wants(d.Message):
			others = append(others, d)
		case s.MaxRedrives >= 0 && redrives(d.Message) >= s.MaxRedrives:
			s.result.Refused++
			others = append(others, d)
		default:
			wanted = append(wanted, d)
		}
	}
	return wanted, others, old
}

func (s *scan) enough() bool {
	return s.Max > 0 && s.result.Moved >= int64(s.Max) ||
		len(s.IDs) > 0 && s.result.Moved+s.result.Refused >= int64(len(s.IDs))
}

// batch is how many letters are received at the same time: no more than may still be
// moved, since each is a delivery.
func (s *scan) batch() int {
	n := min(max(s.caps.MaxReceive, 1), max(s.back.Capabilities().MaxSend, 1), atOnce)
	if s.Rate > 0 {
		n = min(n, s.Rate) // what waits for its turn is leased meanwhile
	}
	if s.Max > 0 && len(s.IDs) == 0 && len(s.Attributes) == 0 && s.Source == "" {
		n = min(n, s.Max-int(s.result.Moved))
	}
	return max(n, 1)
}

// move sends wanted letters back, then deletes those that were taken.
func (s *scan) move(ctx context.Context, ds []drivers.Delivery) error {
	if s.Max > 0 && len(ds) > s.Max-int(s.result.Moved) {
		rest := ds[s.Max-int(s.result.Moved):]
		ds = ds[:len(ds)-len(rest)]
		if err := s.hold(ctx, rest); err != nil {
			return err
		}
	}
	if len(ds) == 0 {
		return nil
	}
	if s.DryRun {
		for _, d := range ds {
			s.Found(d.Message)
		}
		s.result.Moved += int64(len(ds))
		return s.hold(ctx, ds)
	}
	if s.limiter != nil {
		if err := s.limiter.WaitN(ctx, len(ds)); err != nil {
			s.note(ds)
			return ended(ctx, err)
		}
	}
	batches := parts(ds, s.back.Capabilities())
	for i, part := range batches {
		if err := s.moveBatch(ctx, part); err != nil {
			s.note(batches[i+1:]...)
			return err
		}
	}
	return nil
}

func (s *scan) moveBatch(ctx context.Context, ds []drivers.Delivery) error {
	copies := make([]*handler.Message, len(ds))
	for i, d := range ds {
		m, err := restore(d.Message)
		if err != nil {
			s.note(ds)
			return err
		}
		copies[i] = m
	}
	errs := each(ctx, copies, len(copies), inOrder, s.back.Send)
	var (
		failure error
		sent    []drivers.Delivery
		refused []drivers.Delivery
		deletes []drivers.Settlement
	)
	for i, d := range ds {
		switch err := errs[i]; {
		case err == nil:
			sent = append(sent, d)
			deletes = append(deletes, drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck})
		case drivers.CodeOf(err) == drivers.Invalid:
			// The queue will never take this one. The others need not suffer.
			s.result.Failed++
			if len(s.faults) < maxFaults {
				s.faults = append(s.faults, fmt.Errorf("letter %s: %w", d.Message.ID, err))
			}
			refused = append(refused, d)
		default:
			if failure == nil {
				failure = ended(ctx, fmt.Errorf("letter %s: %w", d.Message.ID, err))
			}
			s.note([]drivers.Delivery{d})
		}
	}
	// Letters that were sent must be deleted though ctx may have ended meanwhile.
	fresh, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	for i, err := range each(fresh, deletes, s.caps.MaxSettle, anyOrder, s.letters.Settle) {
		s.result.Moved++
		s.Found(sent[i].Message)
		if err != nil {
			s.result.Doubled++
			failure = errors.Join(failure, fmt.Errorf("letter %s was sent back and could not be deleted: %w", sent[i].Message.ID, err))
		}
	}
	return errors.Join(failure, s.hold(fresh, refused))
}

// note has letters given back in the end, without holding them until then: what
// for, when the scan is about to end.
func (s *scan) note(groups ...[]drivers.Delivery) {
	for _, ds := range groups {
		for _, d := range ds {
			s.held[d.Message.ID] = d.Receipt
		}
	}
}

// hold keeps letters out of sight until the scan is over.
func (s *scan) hold(ctx context.Context, ds []drivers.Delivery) error {
	if len(ds) == 0 {
		return nil
	}
	by := min(s.Hold, s.caps.MaxExtension)
	es := make([]drivers.Extension, len(ds))
	for i, d := range ds {
		es[i] = drivers.Extension{Receipt: d.Receipt, By: by}
		s.held[d.Message.ID] = d.Receipt
		if s.caps.Ordered && d.Message.Group != "" {
			s.result.Hidden = true
		}
	}
	for _, err := range each(ctx, es, s.caps.MaxExtend, anyOrder, s.letters.Extend) {
		// A lease that is lost is a letter that comes again, and is held then.
		if err != nil && drivers.CodeOf(err) != drivers.LeaseLost {
			return ended(ctx, fmt.Errorf("keeping letters out of sight: %w", err))
		}
	}
	return nil
}

// giveBack makes the letters that were held visible again.
func (s *scan) giveBack(ctx context.Context) error {
	// There can be very many of them. Those that are not given back in time
	// come back by themselves.
	most := min(settleTime+time.Duration(len(s.held))*10*time.Millisecond, mostGiveBack)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer cancel()
	ss := make([]drivers.Settlement, 0, len(s.held))
	for _, receipt := range s.held {
		ss = append(ss, drivers.Settlement{Receipt: receipt, Action: handler.ActionRetry, Delayed: true})
	}
	var failure error
	for _, err := range each(ctx, ss, s.caps.MaxSettle, anyOrder, s.letters.Settle) {
		if err != nil && drivers.CodeOf(err) != drivers.LeaseLost {
			failure = err
		}
	}
	return failure
}

// parts cuts letters into what one request takes, by count and by bytes.
func parts(ds []drivers.Delivery, caps drivers.Capabilities) [][]drivers.Delivery {
	var out [][]drivers.Delivery
	begin, bytes := 0, 0
	for i, d := range ds {
		size := sizeOf(d.Message)
		if i > begin && (i-begin >= caps.MaxSend || caps.MaxBatchBytes > 0 && bytes+size > caps.MaxBatchBytes) {
			out = append(out, ds[begin:i])
			begin, bytes = i, 0
		}
		bytes += size
	}
	return append(out, ds[begin:])
}

// sizeOf is generous: what the driver adds (types, markers, base64) counts too.
func sizeOf(m *handler.Message) int {
	n := len(m.Body)*4/3 + 1024
	for k, v := range m.Attributes {
		n += len(k) + len(v) + 16
	}
	return n
}
