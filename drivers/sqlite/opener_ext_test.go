package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/sqlite"
	"github.com/sluice-go/sluice/handler"
)

func TestQueueOutlivesWhoOpenedIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queues.db")
	files := new(sqlite.Opener)
	sink, err := files.Sink(t.Context(), path, "orders", &sqlite.Config{VisibilityTimeout: time.Hour, MaxAttempts: 7})
	require.NoError(t, err)
	require.Nil(t, sink.Send(t.Context(), []*handler.Message{{Body: []byte("kept")}}))
	require.NoError(t, sink.Close())
	require.NoFileExists(t, path+"-wal", "the last one to close tidies up")

	source, err := new(sqlite.Opener).Source(t.Context(), path, "orders", nil)
	require.NoError(t, err)
	require.Equal(t, time.Hour, source.Capabilities().Lease)
	require.Equal(t, 7, source.Capabilities().MaxAttempts)
	ds, err := source.Receive(t.Context(), 1, 0)
	require.NoError(t, err)
	require.Equal(t, "kept", string(ds[0].Message.Body))
	require.NoError(t, source.Close())
}

func TestFileIsSharedAndClosedWithTheLast(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "queues.db")
	files := new(sqlite.Opener)
	sink, err := files.Sink(t.Context(), path, "q", nil)
	require.NoError(t, err)
	alias := filepath.Join(dir, "alias")
	require.NoError(t, os.Symlink(path, alias))
	source, err := files.Source(t.Context(), alias, "q", nil)
	require.NoError(t, err)
	letters, err := source.OpenDeadLetters(t.Context())
	require.NoError(t, err)

	require.Nil(t, sink.Send(t.Context(), []*handler.Message{{}}))
	require.NoError(t, sink.Close())
	require.NoError(t, sink.Close(), "closed once for the file as well")
	ds, err := source.Receive(t.Context(), 1, 0)
	require.NoError(t, err)
	require.Len(t, ds, 1)
	require.NoError(t, letters.Close())
	_, err = source.Depth(t.Context())
	require.NoError(t, err, "closing the letters has not closed the file")
	require.FileExists(t, path+"-wal")
	require.NoError(t, source.Close())
	require.NoFileExists(t, path+"-wal")
	_, err = source.Depth(t.Context())
	require.ErrorIs(t, err, drivers.ErrClosed)

	again, err := files.Source(t.Context(), path, "q", nil)
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

func TestFilesThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(text, []byte("this is no database, and it is long enough for its header to be looked at, which takes a hundred bytes"), 0o600))
	mux := drivers.NewMux(new(sqlite.Opener))
	for _, c := range []struct {
		url, want string
		code      error
	}{
		{"sqlite://" + filepath.Join(dir, "missing", "q.db") + "?queue=orders", "its directory must exist", drivers.ErrDenied},
		{"sqlite://" + text + "?queue=orders", "not a SQLite file", drivers.ErrInvalid},
		{"sqlite://" + dir + "?queue=orders", "must not be a directory's", drivers.ErrDenied},
	} {
		_, err := mux.OpenSource(t.Context(), c.url, nil)
		require.ErrorIs(t, err, c.code, c.url)
		require.ErrorContains(t, err, c.want)
		require.ErrorContains(t, err, `queue "orders": open`)
		_, err = mux.OpenSink(t.Context(), c.url, nil)
		require.ErrorIs(t, err, c.code, c.url)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := mux.OpenSource(ctx, "sqlite://"+filepath.Join(dir, "q.db"), nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, drivers.Unclassified, drivers.CodeOf(err))

	_, err = new(sqlite.Opener).Source(t.Context(), filepath.Join(dir, "q.db"), "", nil)
	require.ErrorIs(t, err, drivers.ErrInvalid)
}

func TestLostFileIsAnErrorThatNamesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queues.db")
	files := new(sqlite.Opener)
	sink, err := files.Sink(t.Context(), path, "orders", nil)
	require.NoError(t, err)
	source, err := files.Source(t.Context(), path, "orders", nil)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	for op, err := range map[string]error{
		"send":    sink.Send(t.Context(), []*handler.Message{{}})[0],
		"receive": second(source.Receive(t.Context(), 1, drivers.MaxWait)),
		"depth":   second(source.Depth(t.Context())),
	} {
		require.ErrorIs(t, err, drivers.ErrNotFound, op)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "start the program again")
	}
	again, err := files.Sink(t.Context(), path, "orders", nil)
	require.NoError(t, err, "whoever opens it now has a new file")
	require.Nil(t, again.Send(t.Context(), []*handler.Message{{}}))
	require.NotNil(t, sink.Send(t.Context(), []*handler.Message{{}}))
	require.NoError(t, sink.Close())
	require.NoError(t, source.Close())
	require.Nil(t, again.Send(t.Context(), []*handler.Message{{}}))
	require.NoError(t, again.Close())
}

func second[T any](_ T, err error) error { return err }

func TestConfigurationThatMakesNoSenseLeavesNothingOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queues.db")
	_, err := new(sqlite.Opener).Source(t.Context(), path, "q", &sqlite.Config{DeadLetter: "q"})
	require.ErrorIs(t, err, drivers.ErrInvalid)
	require.NoFileExists(t, path+"-wal")
}

func TestTwoModesOfOneFile(t *testing.T) {
	url := "sqlite://" + filepath.Join(t.TempDir(), "queues.db") + "?queue=q"
	mux := drivers.NewMux(new(sqlite.Opener))
	sink, err := mux.OpenSink(t.Context(), url+"&synchronous=full", nil)
	require.NoError(t, err)
	source, err := mux.OpenSource(t.Context(), url, nil)
	require.NoError(t, err)
	require.Nil(t, sink.Send(t.Context(), []*handler.Message{{}}))
	ds, err := source.Receive(t.Context(), 1, drivers.MaxWait)
	require.NoError(t, err)
	require.Len(t, ds, 1)
	require.NoError(t, sink.Close())
	require.NoError(t, source.Close())
}

func TestRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.Mkdir("rel", 0o700))
	mux := drivers.NewMux(new(sqlite.Opener))
	for url, path := range map[string]string{"sqlite:a.db": "a.db", "sqlite://rel/b.db": "rel/b.db", "sqlite://./c.db": "c.db"} {
		sink, err := mux.OpenSink(t.Context(), url, nil)
		require.NoError(t, err, url)
		require.NoError(t, sink.Close())
		require.FileExists(t, path, url)
	}
}

func BenchmarkDriver(b *testing.B) {
	ctx := b.Context()
	path := filepath.Join(b.TempDir(), "queues.db")
	files := new(sqlite.Opener)
	sink, err := files.Sink(ctx, path, "q", nil)
	require.NoError(b, err)
	source, err := files.Source(ctx, path, "q", nil)
	require.NoError(b, err)
	ms := make([]*handler.Message, 32)
	for i := range ms {
		ms[i] = &handler.Message{Body: make([]byte, 256)}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += len(ms) {
		if errs := sink.Send(ctx, ms); errs != nil {
			b.Fatal(errs)
		}
		ds, err := source.Receive(ctx, len(ms), 0)
		if err != nil {
			b.Fatal(err)
		}
		settlements := make([]drivers.Settlement, len(ds))
		for k, d := range ds {
			settlements[k] = drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck}
		}
		if errs := source.Settle(ctx, settlements); errs != nil {
			b.Fatal(errs)
		}
	}
	b.StopTimer()
	require.NoError(b, sink.Close())
	require.NoError(b, source.Close())
}
