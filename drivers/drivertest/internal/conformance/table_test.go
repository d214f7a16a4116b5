package conformance_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/drivertest"
	"github.com/sluice-go/sluice/drivers/drivertest/internal/conformance"
)

func reports() []conformance.Report {
	return []conformance.Report{
		{Server: "mem", Results: []conformance.Result{
			{Rule: "A-1", Law: "It holds.", Status: conformance.Passed, Duration: time.Second},
			{Rule: "A-2", Law: "It is | odd.", Status: conformance.Passed},
		}},
		{Server: "sqs on LocalStack 4.9", Results: []conformance.Result{
			{Rule: "A-1", Law: "It holds.", Status: conformance.Inapplicable, Note: "there is none"},
			{Rule: "A-2", Law: "It is | odd.", Status: conformance.Excepted, Note: "LocalStack\ndiffers"},
			{Rule: "A-3", Law: "It breaks.", Status: conformance.Failed, Note: "broken"},
		}},
	}
}

func TestReportsAreReadBackAsTheyWereWritten(t *testing.T) {
	dir := t.TempDir()
	for _, r := range reports() {
		require.NoError(t, r.Write(dir))
	}
	got, err := conformance.Read(dir)
	require.NoError(t, err)
	require.Equal(t, reports(), got)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "z.json"), []byte("{"), 0o600))
	_, err = conformance.Read(dir)
	require.ErrorContains(t, err, "z.json")
}

func TestTable(t *testing.T) {
	table := conformance.NewTable(reports())
	var page bytes.Buffer
	require.NoError(t, table.WriteMarkdown(&page))
	for _, line := range []string{
		"| mem | 2 | 0 | 0 | 0 |",
		"| sqs on LocalStack 4.9 | 0 | 1 | 1 | 1 |",
		"| rule | law | mem | sqs on LocalStack 4.9 |",
		"| A-1 | It holds. | ✓ | – |",
		`| A-2 | It is \| odd. | ✓ | e |`,
		"| A-3 | It breaks. | | **✗** |",
		"| A-2 | sqs on LocalStack 4.9 | LocalStack differs |",
		"| A-1 | sqs on LocalStack 4.9 | there is none |",
	} {
		require.Contains(t, page.String(), line+"\n")
	}
	require.Equal(t, []string{"sqs on LocalStack 4.9: A-3: broken"}, table.Failed())
}

// The page is made from real runs, which take minutes and servers; that the
// rules in it are those of the suite is checked at every test.
func TestPageHasTheRulesOfTheSuite(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/conformance.md")
	require.NoError(t, err, "make it: go run ./drivers/drivertest/internal/conformance/cmd/conformance -write")
	var want, got []string
	for _, r := range drivertest.Rules() {
		want = append(want, r.ID+" "+r.Law)
	}
	matrix := false
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| rule | law |") {
			matrix = true
		}
		if !strings.HasPrefix(line, "|") {
			matrix = false
		}
		cells := strings.Split(line, " | ")
		if matrix && len(cells) > 2 && !strings.HasPrefix(line, "| rule ") && !strings.HasPrefix(line, "|--") {
			got = append(got, strings.TrimPrefix(cells[0], "| ")+" "+strings.ReplaceAll(cells[1], `\|`, "|"))
		}
	}
	require.Equal(t, want, got, "docs/conformance.md is not current; make it anew: go run ./drivers/drivertest/internal/conformance/cmd/conformance -write")
	require.NotContains(t, string(page), "**✗** |", "the page shows a rule that is broken")
}
