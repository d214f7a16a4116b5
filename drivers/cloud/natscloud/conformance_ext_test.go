package natscloud_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud/natscloud"
	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/internal/test/testserver/natsserver"
)

func unsupported(what string) error {
	return &drivers.Error{Code: drivers.Unsupported, Op: "create", Err: errors.New(what)}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ server, params string }{
		{"cloud on NATS", ""}, {"cloud on NATS, headers", "&natsv2=true"},
	} {
		t.Run(c.server, func(t *testing.T) {
			t.Parallel()
			conformance(t, c.server, c.params)
		})
	}
}

const pushed = "core NATS pushes a message, when it is sent, to any one of the open sources; the one that the rule asks may not be it"

func conformance(t *testing.T, server, params string) {
	opener := &natscloud.Opener{URL: natsserver.Start(t)}
	t.Cleanup(func() { require.NoError(t, opener.Close()) })
	mux := drivers.NewMux(opener)
	drivertest.Run(t, &drivertest.Harness{
		Server:   server,
		Parallel: 32, // they wait for leases and compute little
		NewQueue: func(ctx context.Context, o drivertest.QueueOptions) (*drivertest.Queue, error) {
			switch {
			case o.Ordered:
				return nil, unsupported("gocloud keeps no order of groups")
			case o.Dedupe:
				return nil, unsupported("gocloud does not deduplicate what is sent")
			case o.MaxAttempts > 0:
				return nil, unsupported("NATS does not dead-letter by itself")
			}
			subject := "conf-" + rand.Text()
			u := "nats://" + subject + "?queue=workers&retry=republish&max_message_bytes=900000" + params
			if !o.DeadLetter {
				return drivertest.ByURL(mux, u, u, ""), nil
			}
			letters := "nats://" + subject + "-dlq?queue=workers&retry=republish" + params
			u += "&dead_letter=nats://" + subject + "-dlq"
			if params != "" {
				u += "%3Fnatsv2%3Dtrue"
			}
			q := drivertest.ByURL(mux, u, u, letters)
			// NATS keeps nothing for who comes later: the letters' reader is there
			// before the first letter.
			early, err := q.OpenDeadLetters(ctx)
			if err != nil {
				return nil, err
			}
			q.OpenDeadLetters = func(context.Context) (drivers.Source, error) { return early, nil }
			q.Close = early.Close
			return q, nil
		},
		Exceptions: map[string]drivertest.Exception{
			"CLOSE-1": {Reason: pushed, Flaky: true},
			"CLOSE-4": {Reason: pushed, Flaky: true},
			"CLOSE-5": {Reason: "there is no lease: what the closed source held comes back immediately, before what is sent later", Flaky: true},
		},
	})
}
