package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func measured() []row {
	rows := []row{
		{Case: "sqs-consume/noop/32", Title: "SQS consume", Peer: sluice, Runs: 3, Metrics: summarize([]sample{
			{metricRate: 900, metricRequests: 0.2, metricRequests + ":ReceiveMessage": 0.1},
			{metricRate: 1100, metricRequests: 0.21}, {metricRate: 1000, metricRequests: 0.2},
		})},
		{Case: "sqs-consume/noop/32", Title: "SQS consume", Peer: "raw, pipelined", Runs: 3, Metrics: summarize([]sample{
			{metricRate: 1200}, {metricRate: 1200}, {metricRate: 1300},
		})},
	}
	for _, id := range []string{"backlog/1000", "backlog/10000"} {
		rows = append(rows, row{Case: id, Title: id, Peer: sluice, Runs: 1, Metrics: summarize([]sample{{metricCPU: 12345678}})})
	}
	return rows
}

func TestSummarize(t *testing.T) {
	s := summarize([]sample{{"a": 3}, {"a": 1, "b": 4}, {"a": 2}, {"a": 10}})
	require.Equal(t, stat{Median: 2.5, Min: 1, Max: 10}, s["a"])
	require.Equal(t, stat{Median: 0, Min: 0, Max: 4}, s["b"])
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.2049: "0.205", 12.34: "12.3", 123.4: "123", 1000: "1,000", 10007: "10,007", 1234567: "1,234,567"} {
		require.Equal(t, want, number(v))
	}
}

func TestTable(t *testing.T) {
	require.Equal(t, `#### SQS consume

| | msgs/s | requests/msg | requests by action |
|---|---|---|---|
| Sluice | 1,000 (900 … 1,100) | 0.2 (0.2 … 0.21) | ReceiveMessage 0 |
| raw, pipelined | 1,200 (1,200 … 1,300) | |  |

#### backlog/1000

| | cpu-µs/msg |
|---|---|
| Sluice | 12,345,678 |

#### backlog/10000

| | cpu-µs/msg |
|---|---|
| Sluice | 12,345,678 |

`, table(measured()))
}

func TestJudge(t *testing.T) {
	vs := judge(measured(), targets())
	require.Equal(t, []verdict{
		{Text: "SQS consume, no-op: as fast as the hand-pipelined loop", Bound: 1200, Least: true, Got: 1000},
		{Text: "SQS consume, no-op: requests", Bound: 0.205, Got: 0.2, Met: true},
	}, vs)
	require.Contains(t, judged(vs), "| ≥ 1,200 | 1,000 | **not met** |")
}

// A second run replaces what the first has written, and nothing else.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, markdownName)
	require.NoError(t, os.WriteFile(path, []byte("before\n"+beginMark+"old"+endMark+"\nafter\n"), 0o644))
	r := &report{Command: "go run .", Machine: "a machine", Rows: measured()}
	r.judge()
	require.NoError(t, r.write(dir))
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, r.write(dir))
	second, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))
	require.Regexp(t, `(?s)^before\n<!--.*-->\nafter\n$`, string(first))
	require.NotContains(t, string(first), "old")
	require.Contains(t, string(first), "(benchmarks-backlog.svg)")

	read, err := readReport(filepath.Join(dir, jsonName))
	require.NoError(t, err)
	require.Equal(t, r, read)

	f, err := os.Open(filepath.Join(dir, "benchmarks-backlog.svg"))
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	elements := map[string]int{}
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if e, ok := token.(xml.StartElement); ok {
			elements[e.Name.Local]++
		}
	}
	require.Equal(t, 1, elements["svg"])
	require.Positive(t, elements["path"])
}

func TestPageWithoutMarks(t *testing.T) {
	_, err := replaceSection("a page", "section")
	require.ErrorContains(t, err, "no section")
}
