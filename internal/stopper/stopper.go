// Package stopper turns the signals that end a process into the ends of contexts. A
// program's first signal asks it to stop, the second to end immediately; one that does
// not end by then is ended with its process.
package stopper

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Grace is how long a program may take to end after the second signal: it gives back
// what it has in hand meanwhile. Then, or at a third signal, the process exits.
const Grace = 3 * time.Second

// twice is how soon a signal may come again and still be the same one: timeout(1)
// sends its signal to the process, and then to the group that the process is in.
const twice = 100 * time.Millisecond

// signals are those that ask a container's process to end: SIGTERM is the usual one,
// SIGQUIT that of images such as nginx's and php-fpm's, SIGHUP the end of a terminal.
var signals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP}

// A Stopper listens to signals until it is closed.
type Stopper struct {
	// Stop ends at the first signal or with New's context, Now at the second signal.
	// Both end with the Stopper.
	Stop, Now context.Context

	endStop, endNow context.CancelFunc
	restore         func()
}

// New returns a Stopper that listens to the given signals; nil are SIGINT, SIGTERM,
// SIGQUIT and SIGHUP of the process, as far as they are not ignored. exit ends the
// process. It is called with the status 1, [Grace] after the second signal or at the
// third, if the Stopper was not closed before.
func New(ctx context.Context, from <-chan os.Signal, exit func(code int)) *Stopper {
	s := &Stopper{restore: func() {}}
	s.Stop, s.endStop = context.WithCancel(ctx)
	s.Now, s.endNow = context.WithCancel(context.WithoutCancel(ctx))
	open, end := context.WithCancel(context.WithoutCancel(ctx))
	if from == nil {
		own := make(chan os.Signal, 3)
		for _, sig := range signals {
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
		from = distinct(open, own)
	}
	restore := s.restore
	s.restore = func() { restore(); end() }
	go func() {
		for _, end := range []context.CancelFunc{s.endStop, s.endNow} {
			select {
			case <-from:
				end()
			case <-open.Done():
				return
			}
		}
		t := time.NewTimer(Grace)
		defer t.Stop()
		select {
		case <-from:
		case <-t.C:
		case <-open.Done():
			return
		}
		exit(1)
	}()
	return s
}

// Close ends the contexts, and gives signals back to the process.
func (s *Stopper) Close() {
	s.restore()
	s.endNow()
	s.endStop()
}

// distinct passes signals on, but not one that comes twice, until ctx is done.
func distinct(ctx context.Context, signals <-chan os.Signal) <-chan os.Signal {
	out := make(chan os.Signal, cap(signals))
	go func() {
		var last os.Signal
		var at time.Time
		for {
			select {
			case sig := <-signals:
				if sig == last && time.Since(at) < twice {
					continue
				}
				last, at = sig, time.Now()
				select {
				case out <- sig:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
