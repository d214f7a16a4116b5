package cli

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/internal/stopper"
)

// A stuck opener ignores its context.
type stuck struct {
	begun   func()
	release chan struct{}
}

// A noticed reader says that it is read from.
type noticed struct {
	io.Reader
	begun func()
}

func (n noticed) Read(p []byte) (int, error) {
	n.begun()
	return n.Reader.Read(p)
}

func (stuck) Schemes() []string { return []string{"stuck"} }

func (s stuck) OpenSource(context.Context, *url.URL, *drivers.Options) (drivers.Source, error) {
	s.begun()
	<-s.release
	return nil, drivers.ErrClosed
}

func (s stuck) OpenSink(context.Context, *url.URL, *drivers.Options) (drivers.Sink, error) {
	s.begun()
	<-s.release
	return nil, drivers.ErrClosed
}

// The first signal ends a command that reads its standard input; the second ends one
// that ignores the first, after a moment in which it may give back what it has, and
// the third does without that.
func TestSignalsEndAnyCommand(t *testing.T) {
	for _, c := range []struct {
		name    string
		args    []string
		signals int
		exits   int32         // how often the process was ended
		within  time.Duration // at most
	}{
		{"send", []string{"send", "mem://x"}, 1, 0, 2 * time.Second},
		{"send lines", []string{"send", "mem://x", "--lines"}, 1, 0, 2 * time.Second},
		{"stuck, two", []string{"depth", "stuck://x"}, 2, 1, stopper.Grace + 2*time.Second},
		{"stuck, three", []string{"depth", "stuck://x"}, 3, 1, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, hold := io.Pipe()
			defer hold.Close()
			signals := make(chan os.Signal, 3)
			begun := make(chan struct{})
			begin := sync.OnceFunc(func() { close(begun) })
			s := stuck{begin, make(chan struct{})}
			var exits atomic.Int32
			var out, errs bytes.Buffer
			code := make(chan int, 1)
			go func() {
				code <- Main(Program{
					Args: append(c.args, "--log-level", "error"), Stdin: noticed{in, begin}, Stdout: &out, Stderr: &errs, Signals: signals,
					Mux: drivers.NewMux(&mem.Opener{}, s),
					Exit: func(code int) {
						require.Equal(t, ExitFailed, code)
						exits.Add(1)
						close(s.release)
					},
				})
			}()
			<-begun
			began := time.Now()
			for range c.signals {
				signals <- os.Interrupt
			}
			select {
			case got := <-code:
				require.Equal(t, ExitFailed, got)
			case <-time.After(20 * time.Second):
				t.Fatal("it goes on")
			}
			require.Less(t, time.Since(began), c.within)
			require.Equal(t, c.exits, exits.Load())
			if c.exits == 0 {
				require.Equal(t, "sluice: interrupted\n", errs.String())
			}
		})
	}
}
