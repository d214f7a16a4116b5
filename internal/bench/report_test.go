package main

import (
	"cmp"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
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
	for i, id := range []string{"backlog/1000", "backlog/10000"} {
		rows = append(rows, row{Case: id, Title: id, Peer: sluice + ", mem", Runs: 1, Metrics: summarize([]sample{{metricCPU: float64(2 + i)}})})
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
| Sluice, mem | 2 |

#### backlog/10000

| | cpu-µs/msg |
|---|---|
| Sluice, mem | 3 |

`, table(measured()))
}

// The best peer is named, our further rows are not peers, and more is not always better.
func TestJudge(t *testing.T) {
	t.Parallel()
	rows := append(measured(), row{Case: "sqs-consume/noop/32", Peer: observed, Runs: 1, Metrics: summarize([]sample{{metricWait99: 90, metricTrip: 50}})})
	vs := judge(rows, targets())
	require.Equal(t, []verdict{
		{Text: "SQS consume, no-op, concurrency 32", Metric: metricRate, Got: 1000, Peer: piped, Best: 1200, Ratio: 0.83, Bound: 1, Least: true, Floor: floorSDK},
		{Text: "SQS consume, no-op, concurrency 32: p99 of waiting in hand", Metric: metricWait99, Got: 90, Peer: "two round trips", Best: 100, Ratio: 0.9, Bound: 1, Met: true,
			Floor: "what arrives together waits for each other"},
		{Text: "Growth: CPU a message, 1,000 to 1,000,000 behind, in memory", Metric: metricCPU, Got: 3, Peer: "itself at 1,000", Best: 2, Ratio: 1.5, Bound: 1.2, Floor: floorGrowth},
	}, vs)
	require.Equal(t, `| case | Sluice | best peer | ratio | target | | floor |
|---|---|---|---|---|---|---|
| SQS consume, no-op, concurrency 32 | 1,000 msgs/s | 1,200 msgs/s (raw, pipelined) | 0.83 | ≥ 1 | **not met** | `+floorSDK+` |
`, judged(vs[:1]))
	require.Equal(t, 2, missed(vs))
}

// A handling time that is longer than two round trips is the bound on waiting.
func TestJudgeWaiting(t *testing.T) {
	t.Parallel()
	for handling, want := range map[float64]string{10: "two round trips", 500: "a handling time"} {
		rows := []row{{Case: "x", Peer: sluice, Metrics: summarize([]sample{{metricWait99: 90, metricTrip: 50, metricHandling: handling}})}}
		vs := judge(rows, []target{inHand("waiting", "x", "")})
		require.Len(t, vs, 1)
		require.Equal(t, want, vs[0].Peer)
	}
}

// A ratio is compared as the table shows it.
func TestJudgeByTwoDecimals(t *testing.T) {
	t.Parallel()
	for got, met := range map[float64]bool{5700: true, 5691: true, 5680: false} {
		rows := []row{{Case: "x", Peer: sluice, Metrics: summarize([]sample{{metricRate: got}})}, {Case: "x", Peer: piped, Metrics: summarize([]sample{{metricRate: 5715}})}}
		vs := judge(rows, []target{{text: "a tie", id: "x", metric: metricRate, ratio: 1}})
		require.Len(t, vs, 1)
		require.Equal(t, met, vs[0].Met, got)
	}
}

// Every target is about a case and peers that exist.
func TestTargetsHaveCases(t *testing.T) {
	t.Parallel()
	s := sizes{backlog: 1_000_000, top: 4096, messages: 1000}
	var rows []row
	all := sample{}
	for _, m := range columns {
		all[m] = 1
	}
	for _, x := range cases(s) {
		for _, p := range x.peers {
			rows = append(rows, row{Case: x.id, Peer: p.name, Metrics: summarize([]sample{all})})
		}
	}
	require.Len(t, judge(rows, targets()), len(targets()))
	for _, target := range targets() {
		require.NotEmpty(t, cmp.Or(target.floor, target.near), target.text)
	}
}

// A second run replaces what the first has written, and nothing else.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, markdownName)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(emptyPage(), " begin -->\n", " begin -->old\n", 2)+"\nafter\n"), 0o644))
	r := &report{Command: "go run .", Machine: "a machine", Rows: measured()}
	r.judge()
	require.NoError(t, r.write(dir))
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, r.write(dir))
	second, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))
	require.Regexp(t, `(?s)^# Benchmarks\n\n<!--.*\| case \| Sluice .*-->\n\n<!--.*## Cases.*-->\n\nafter\n$`, string(first))
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
	_, err := replaceSection("a page", sectionCases, "section")
	require.ErrorContains(t, err, "no section")
}
