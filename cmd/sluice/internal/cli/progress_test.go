package cli

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

// Progress without a terminal is a line of text, or a record among logs in JSON.
func TestProgressIsInTheFormatOfTheLogs(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &app{err: &out, logFormat: formatText, level: new(slog.LevelVar)}
	show := func(done, total int64) {
		p := newProgress(a, "redriving orders")
		p.last = time.Now().Add(-progressPause)
		p.set(done, total)
	}
	show(3, 10)
	show(4, drivers.Unknown)
	require.Equal(t, "redriving orders: 3 of 10\nredriving orders: 4\n", out.String())

	out.Reset()
	a.logJSON()
	show(3, 10)
	show(4, drivers.Unknown)
	for d := json.NewDecoder(&out); d.More(); {
		var record struct {
			Message string `json:"msg"`
			Done    int64  `json:"done"`
		}
		require.NoError(t, d.Decode(&record))
		require.Equal(t, "redriving orders", record.Message)
		require.Positive(t, record.Done)
	}
}
