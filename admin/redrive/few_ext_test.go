package redrive_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/handler"
)

// Every operation that looks at letters refuses a dead-letter queue that would move them on,
// and receives nothing from it, unless it is asked to.
func TestALookThatMayMoveLettersIsRefused(t *testing.T) {
	server := serve(t, nil)
	mux := mux()
	at := func(name string) string { return "awssqs:///" + name + "?region=us-east-1&endpoint=" + server.URL() }
	for _, spec := range []provision.Spec{
		{Name: "orders-dlq", DeadLetter: &provision.DeadLetter{Name: "graveyard", MaxAttempts: 3}},
		{Name: "orders", DeadLetter: &provision.DeadLetter{Name: "orders-dlq"}},
	} {
		_, err := admin.Apply(t.Context(), mux, admin.Target{Name: spec.Name, URL: at(spec.Name), Spec: &spec}, true)
		require.NoError(t, err)
	}
	sink, err := mux.OpenSink(t.Context(), at("orders-dlq"), nil)
	require.NoError(t, err)
	m := &handler.Message{Body: []byte("letter")}
	require.NoError(t, errors.Join(sink.Send(t.Context(), []*handler.Message{m})...))
	require.NoError(t, sink.Close())
	source, err := mux.OpenSource(t.Context(), at("orders"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, source.Close()) })
	one := letters.Filter{IDs: []string{"none"}}
	for name, do := range map[string]func() error{
		"each": func() error {
			_, err := letters.Each(t.Context(), source, &letters.Options{}, func(letters.Letter) error { return nil })
			return err
		},
		"discard": func() error {
			_, err := letters.Discard(t.Context(), source, &letters.Options{Filter: one})
			return err
		},
		"export": func() error {
			_, err := letters.Export(t.Context(), source, io.Discard, &letters.Options{})
			return err
		},
		"archive": func() error {
			_, err := letters.Archive(t.Context(), source, func(context.Context, []byte) error { return nil }, &letters.Options{Filter: one})
			return err
		},
		"redrive": func() error {
			_, err := redrive.Run(t.Context(), source, &redrive.Options{Filter: one})
			return err
		},
		"dry run": func() error {
			_, err := redrive.Run(t.Context(), source, &redrive.Options{DryRun: true})
			return err
		},
		"canary": func() error {
			_, _, err := redrive.Canary(t.Context(), source, &redrive.Options{Filter: one}, &redrive.CanaryOptions{Letters: 1})
			return err
		},
		"edit": func() error {
			_, err := redrive.Edit(t.Context(), source, "none", nil, nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := server.Count("ReceiveMessage")
			err := do()
			require.ErrorIs(t, err, letters.ErrFewAttempts)
			require.Equal(t, drivers.Invalid, drivers.CodeOf(err))
			require.ErrorContains(t, err, "orders-dlq")
			require.ErrorContains(t, err, "3 deliveries")
			require.Equal(t, before, server.Count("ReceiveMessage"))
		})
	}
	seen, err := letters.Each(t.Context(), source, &letters.Options{SpendAttempts: true}, func(letters.Letter) error { return nil })
	require.NoError(t, err)
	require.EqualValues(t, 1, seen.Seen, "nothing has moved it")
}
