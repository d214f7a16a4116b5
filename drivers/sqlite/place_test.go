package sqlite

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		url  string
		want place
	}{
		{"sqlite:///var/lib/q.db?queue=orders", place{"/var/lib/q.db", "orders", false}},
		{"sqlite://./q.db", place{"./q.db", defaultQueue, false}},
		{"sqlite://../up/q.db", place{"../up/q.db", defaultQueue, false}},
		{"sqlite://q.db?queue=orders", place{"q.db", "orders", false}},
		{"sqlite://rel/or/q.db?max_attempts=3", place{"rel/or/q.db", defaultQueue, false}},
		{"sqlite:q.db?queue=orders", place{"q.db", "orders", false}},
		{"sqlite:rel/q.db", place{"rel/q.db", defaultQueue, false}},
		{"sqlite:./q.db", place{"./q.db", defaultQueue, false}},
		{"sqlite:/var/q.db", place{"/var/q.db", defaultQueue, false}},
		{"sqlite:my%20queues.db", place{"my queues.db", defaultQueue, false}},
		{"sqlite:///a%3Fb%23c.db", place{"/a?b#c.db", defaultQueue, false}},
		{"sqlite:q.db?synchronous=full", place{"q.db", defaultQueue, true}},
		{"sqlite:q.db?synchronous=normal", place{"q.db", defaultQueue, false}},
	} {
		u, err := url.Parse(c.url)
		require.NoError(t, err)
		got, _, err := parse(u, nil, false)
		require.NoError(t, err, c.url)
		require.Equal(t, c.want, got, c.url)
	}
	u, err := url.Parse("sqlite:q.db")
	require.NoError(t, err)
	got, _, err := parse(u, nil, true)
	require.NoError(t, err)
	require.True(t, got.sync)
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"sqlite:", "no file"},
		{"sqlite://", "no file"},
		{"sqlite:///", "no file"},
		{"sqlite:?queue=orders", "no file"},
		{"sqlite:q.db?queue=", `"queue" is empty`},
		{"sqlite:q.db?synchronus=full", `did you mean "synchronous"`},
		{"sqlite:q.db?synchronous=off", "normal or full"},
		{"sqlite://me@host/q.db", "%40"},
		{"sqlite:q.db#orders", "%23"},
		{"sqlite:q.db?visibility_timeout=soon", "duration"},
	} {
		u, err := url.Parse(c.url)
		require.NoError(t, err)
		_, _, err = parse(u, nil, false)
		require.ErrorIs(t, err, drivers.ErrInvalid, c.url)
		require.ErrorContains(t, err, c.want, c.url)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"sqlite:///var/lib/q.db?queue=orders", "sqlite://./q.db", "sqlite:q%20.db?synchronous=full", "sqlite:%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil {
			return
		}
		p, c, err := parse(u, nil, false)
		if err != nil {
			require.ErrorIs(t, err, drivers.ErrInvalid)
			return
		}
		require.NotEmpty(t, p.path)
		require.NotEmpty(t, p.queue)
		require.NotNil(t, c)
	})
}
