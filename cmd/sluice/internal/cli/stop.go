package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// endGrace is how long a command may take to end after the second signal: what it
// has in hand is given back meanwhile. Then, or at a third signal, the process
// exits.
const endGrace = 3 * time.Second

// stopSignals are the signals that ask a container's process to end: SIGTERM is the
// usual one, SIGQUIT that of images such as nginx's and php-fpm's, SIGHUP the end of
// a terminal.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP}

// A stopper turns signals into the end of contexts: the first asks to stop, the
// second to end immediately. A command that does not end by then is ended with the
// process.
type stopper struct {
	// ctx ends at the first signal, now at the second.
	ctx, now   context.Context
	stop, kill context.CancelFunc
	restore    func()
}

// newStopper listens to signals; nil are stopSignals of the process. exit ends the
// process.
func newStopper(ctx context.Context, signals <-chan os.Signal, exit func(code int)) *stopper {
	s := &stopper{restore: func() {}}
	s.ctx, s.stop = context.WithCancel(ctx)
	s.now, s.kill = context.WithCancel(ctx)
	if signals == nil {
		own := make(chan os.Signal, 3)
		for _, sig := range stopSignals {
			// nohup has SIGHUP ignored. Shells ignore SIGINT for what they start in the
			// background, and yet it is sent to end it.
			if sig != syscall.SIGHUP || !signal.Ignored(sig) {
				signal.Notify(own, sig)
			}
		}
		// The reader of the log may go away. Without this the next line that is
		// logged would end the process, in the middle of a job.
		broken := make(chan os.Signal, 1)
		signal.Notify(broken, syscall.SIGPIPE)
		s.restore = func() { signal.Stop(own); signal.Stop(broken) }
		signals = distinct(own)
	}
	go func() {
		for _, end := range []context.CancelFunc{s.stop, s.kill} {
			select {
			case <-signals:
				end()
			case <-ctx.Done():
				return
			}
		}
		t := time.NewTimer(endGrace)
		defer t.Stop()
		select {
		case <-signals:
		case <-t.C:
		case <-ctx.Done():
			return
		}
		exit(ExitFailed)
	}()
	return s
}

// twice is how soon a signal may come again and still be the same one: timeout(1)
// sends its signal to the process, and then to the group that the process is in.
const twice = 100 * time.Millisecond

// distinct passes signals on, but not one that comes twice. It ends with the process.
func distinct(signals <-chan os.Signal) <-chan os.Signal {
	out := make(chan os.Signal, cap(signals))
	go func() {
		var last os.Signal
		var at time.Time
		for sig := range signals {
			if sig == last && time.Since(at) < twice {
				continue
			}
			last, at = sig, time.Now()
			out <- sig
		}
	}()
	return out
}

func (s *stopper) close() {
	s.restore()
	s.kill()
	s.stop()
}

// readAll reads all of r, or returns ctx's error when that is done: a read from a
// terminal or a pipe cannot be ended. The reading goroutine goes on until then.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	type result struct {
		content []byte
		err     error
	}
	done := make(chan result, 1)
	go func() {
		content, err := io.ReadAll(r)
		done <- result{content, err}
	}()
	select {
	case d := <-done:
		return d.content, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
