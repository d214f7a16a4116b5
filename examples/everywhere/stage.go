package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

// A stage is a queue and what runs the handler on it.
type stage struct {
	// sink takes the messages.
	sink drivers.Sink
	// letters returns the dead letters that there are.
	letters func(ctx context.Context) ([]*handler.Message, error)
	// run runs the handler until ctx is done.
	run func(ctx context.Context) error
	// close frees what the stage holds, when run has returned.
	close func() error
}

// A runtime sets a stage. h is the handler in its middleware; dir is the
// directory of the books, for a runtime whose handler is another process's.
type runtime struct {
	name  string
	stage func(ctx context.Context, h guarded, dir string, log *slog.Logger) (*stage, error)
}

// A result is what came of the work in one runtime.
type result struct {
	runtime string
	paid    []string
	letters []string
	took    time.Duration
}

// patience is how long a runtime may take: a second or two is usual.
const patience = 2 * time.Minute

func runAll(ctx context.Context, rs []runtime, only string, log *slog.Logger) ([]result, error) {
	var results []result
	for _, r := range rs {
		if only != "" && only != r.name {
			continue
		}
		res, err := runOne(ctx, r, log.With("runtime", r.name))
		if err != nil {
			return results, fmt.Errorf("%s: %w", r.name, err)
		}
		results = append(results, res)
	}
	if len(results) == 0 {
		return nil, fmt.Errorf("there is no runtime %q", only)
	}
	return results, nil
}

func runOne(ctx context.Context, r runtime, log *slog.Logger) (res result, err error) {
	dir, err := os.MkdirTemp("", "sluice-everywhere-")
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := openBooks(ctx, dir)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, b.db.Close()) }()
	h, err := b.handler(ctx, log)
	if err != nil {
		return res, err
	}
	s, err := r.stage(ctx, h, dir, log)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	start := time.Now()
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	if err := send(ctx, s.sink); err != nil {
		return res, err
	}
	res = result{runtime: r.name}
	res.paid, res.letters, err = await(ctx, b, s, ended)
	res.took = time.Since(start)
	return res, err
}

func send(ctx context.Context, sink drivers.Sink) error {
	ms, err := work()
	if err != nil {
		return err
	}
	p, err := producer.New(sink, nil)
	if err != nil {
		return err
	}
	return errors.Join(p.Send(ctx, ms...), p.Close())
}

// await waits until all of the work is done, and a moment longer: what is done
// twice comes late.
func await(ctx context.Context, b *books, s *stage, ended chan error) (paid, letters []string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("it takes too long"))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	seen := make(map[string]bool)
	for settled := 0; settled < 5; {
		select {
		case <-ctx.Done():
			return paid, letters, fmt.Errorf("%w: %d of %d invoices are paid, %d of %d letters are there",
				context.Cause(ctx), len(paid), wantPaid, len(letters), wantLetters)
		case err := <-ended:
			ended <- err
			return paid, letters, fmt.Errorf("the runtime ended: %w", err)
		case <-tick.C:
		}
		if paid, err = b.paid(ctx); err != nil {
			return nil, nil, err
		}
		ms, err := s.letters(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, m := range ms {
			if text := letter(m); !seen[text] {
				seen[text] = true
				letters = append(letters, text)
			}
		}
		if len(paid) >= wantPaid && len(letters) >= wantLetters {
			settled++
		}
	}
	slices.Sort(letters)
	return paid, letters, nil
}

// letter is a dead letter as text: what it is, and why it is dead, without the
// provider's ID of the message.
func letter(m *handler.Message) string {
	d, _ := drivers.ParseFailure(m.Attributes)
	reason := strings.TrimPrefix(d.Reason, "rejected: ")
	if _, after, ok := strings.Cut(reason, `": `); ok && strings.HasPrefix(reason, "decode message ") {
		reason = after
	}
	return m.DedupeID + ": " + reason
}

// table prints the effects, a runtime a line.
func table(out io.Writer, results []result) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "RUNTIME\tPAID\tTWICE\tCENTS\tDEAD LETTERS\tTIME") // Flush returns its errors
	for _, r := range results {
		twice, sum := 0, 0
		for i, row := range r.paid {
			var number string
			var cents int
			if _, err := fmt.Sscan(row, &number, &cents); err != nil {
				return err
			}
			sum += cents
			if i > 0 && row == r.paid[i-1] {
				twice++
			}
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%v\n", r.runtime, len(r.paid), twice, sum, strings.Join(r.letters, "; "), r.took.Round(time.Millisecond))
	}
	return w.Flush()
}

// same returns an error where two runtimes differ in their effects.
func same(results []result) error {
	first := results[0]
	if len(first.paid) != wantPaid || len(first.letters) != wantLetters {
		return fmt.Errorf("%s: %d paid and %d letters, not %d and %d", first.runtime, len(first.paid), len(first.letters), wantPaid, wantLetters)
	}
	for _, r := range results[1:] {
		if !slices.Equal(r.paid, first.paid) || !slices.Equal(r.letters, first.letters) {
			return fmt.Errorf("the effects on %s are not those on %s", r.runtime, first.runtime)
		}
	}
	return nil
}
