// Command measure reports how long a client takes to find out that its connections have
// died in silence. Each argument is the URL of an idempotency store, or nats:// for a
// NATS server that it starts:
//
//	go run ./internal/test/testserver/withservers -servers redis,postgres \
//		sh -c 'go run ./internal/test/testserver/swallow/measure $SLUICE_REDIS_URL $SLUICE_POSTGRES_URL nats://'
//
// It puts a line that swallows bytes between, uses the store from several goroutines,
// has the line die while nothing happens, and uses the store until it answers again,
// each time for as long as the idempotency middleware waits for it. It ends with 1 if
// that takes more than a minute.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/sluice-go/sluice/drivers/cloud/natscloud"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver/natsserver"
	"github.com/sluice-go/sluice/internal/test/testserver/swallow"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
)

const (
	patience = time.Minute
	// workers use the store at the same time, so that several connections are open.
	workers = 4
)

func main() {
	code := 0
	for _, arg := range os.Args[1:] {
		if err := measure(arg); err != nil {
			fmt.Fprintln(os.Stderr, "measure:", arg, err)
			code = 1
		}
	}
	os.Exit(code)
}

func measure(rawURL string) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return err
	}
	if u.Scheme == "nats" {
		server, stop, err := natsserver.Run()
		if err != nil {
			return err
		}
		defer stop()
		if u, err = url.Parse(server); err != nil {
			return err
		}
	}
	line := swallow.ToAddr(u.Host)
	defer line.Close()
	if u.Host, err = line.Listen(); err != nil {
		return err
	}
	ctx := context.Background()
	use, stop, err := client(ctx, u)
	if err != nil {
		return err
	}
	defer stop()
	all := func() (errs []error) {
		var (
			mu sync.Mutex
			wg sync.WaitGroup
		)
		for range workers {
			wg.Go(func() {
				uctx, cancel := context.WithTimeout(ctx, 5*time.Second)
				defer cancel()
				if err := use(uctx); err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, err)
				}
			})
		}
		wg.Wait()
		return errs
	}
	if errs := all(); len(errs) > 0 {
		return errs[0]
	}
	dials := line.Dials()
	line.Die()
	began := time.Now()
	var first time.Duration
	for time.Since(began) < patience {
		errs := all()
		if first == 0 {
			first = time.Since(began)
		}
		if len(errs) == 0 {
			fmt.Fprintf(os.Stdout, "%s: the first uses ended after %v, all are well after %v; connections before %d, after %d\n",
				u.Scheme, first.Round(100*time.Millisecond), time.Since(began).Round(100*time.Millisecond), dials, line.Dials())
			return nil
		}
		fmt.Fprintf(os.Stdout, "%s: after %v: %v\n", u.Scheme, time.Since(began).Round(100*time.Millisecond), errs[0])
		<-time.After(100 * time.Millisecond)
	}
	return fmt.Errorf("the dead connections are still used after %v", patience)
}

// client returns how to use what is at u.
func client(ctx context.Context, u *url.URL) (use func(context.Context) error, stop func(), err error) {
	if u.Scheme == "nats" {
		o := &natscloud.Opener{URL: "nats://" + u.Host}
		sink, err := o.OpenSink(ctx, &url.URL{Scheme: "nats", Host: "measure"}, nil)
		if err != nil {
			return nil, nil, err
		}
		use = func(ctx context.Context) error {
			if errs := sink.Send(ctx, []*handler.Message{{Body: []byte("x")}}); errs != nil {
				return errs[0]
			}
			return nil
		}
		return use, func() { _, _ = sink.Close(), o.Close() }, nil
	}
	store, err := open.URL(ctx, u.String())
	if err != nil {
		return nil, nil, err
	}
	use = func(ctx context.Context) error {
		_, err := store.Claim(ctx, rand.Text(), rand.Text(), time.Minute)
		return err
	}
	return use, func() { _ = store.Close() }, nil
}
