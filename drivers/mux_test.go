package drivers_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

// recorder is an Opener that notes which URL it was asked for.
type recorder struct {
	scheme string
	asked  *string
}

func (r recorder) Schemes() []string { return []string{r.scheme} }

func (r recorder) OpenSource(_ context.Context, u *url.URL, _ *drivers.Options) (drivers.Source, error) {
	*r.asked = "source " + u.String()
	return nil, drivers.CheckParams(u, "region", "visibility_timeout")
}

func (r recorder) OpenSink(_ context.Context, u *url.URL, _ *drivers.Options) (drivers.Sink, error) {
	*r.asked = "sink " + u.String()
	return nil, nil
}

func TestMuxChoosesByScheme(t *testing.T) {
	var a, b string
	mux := drivers.NewMux(recorder{"aq", &a}, recorder{"bq", &b})
	require.Equal(t, []string{"aq", "bq"}, mux.Schemes())

	_, err := mux.OpenSource(t.Context(), "aq:///orders?region=x", nil)
	require.NoError(t, err)
	_, err = mux.OpenSink(t.Context(), "bq:///orders", nil)
	require.NoError(t, err)
	require.Equal(t, "source aq:///orders?region=x", a)
	require.Equal(t, "sink bq:///orders", b)
}

func TestMuxRefusesWithAWayOut(t *testing.T) {
	var asked string
	mux := drivers.NewMux(recorder{"awssqs", &asked})
	for _, c := range []struct{ name, url, want string }{
		{"unknown scheme", "awsqs:///orders", `did you mean "awssqs"?`},
		{"no scheme", "orders", "known schemes: awssqs"},
		{"malformed", "awssqs://user:secret@host:notaport/", "malformed queue URL"},
		{"unread parameter", "awssqs:///orders?regoin=x", `unknown parameter "regoin" in the awssqs URL (did you mean "region"?`},
		{"parameter twice", "awssqs:///orders?region=x&region=y", `parameter "region" occurs 2 times`},
		{"malformed query", "awssqs:///orders?a=%zz", "malformed"},
	} {
		_, err := mux.OpenSource(t.Context(), c.url, nil)
		require.ErrorIs(t, err, drivers.ErrInvalid, c.name)
		require.ErrorContains(t, err, c.want, c.name)
		require.NotContains(t, err.Error(), "secret", c.name)
	}
	var none drivers.Mux
	_, err := none.OpenSink(t.Context(), "awssqs:///orders", nil)
	require.ErrorIs(t, err, drivers.ErrInvalid)
}
