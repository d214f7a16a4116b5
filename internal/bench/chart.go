package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A chart shows the client's processor time a message against a number.
type chart struct {
	name, x string
	lines   []line
}

// A line is one peer's points, from the smallest number to the largest.
type line struct {
	peer   string
	points plotter.XYs
}

// chartsOf gathers the charts of what was measured; one without points is left
// out.
func chartsOf(rows []row) []chart {
	var cs []chart
	for _, c := range []struct{ prefix, x string }{
		{byConcurrency, "concurrency"}, {byBacklog, "messages in the queue"},
	} {
		ch := chart{name: strings.TrimSuffix(c.prefix, "/"), x: c.x}
		at := map[string]int{}
		for _, r := range rows {
			after, ok := strings.CutPrefix(r.Case, c.prefix)
			x, err := strconv.ParseFloat(after, 64)
			if !ok || err != nil {
				continue
			}
			i, known := at[r.Peer]
			if !known {
				i, at[r.Peer] = len(ch.lines), len(ch.lines)
				ch.lines = append(ch.lines, line{peer: r.Peer})
			}
			ch.lines[i].points = append(ch.lines[i].points, plotter.XY{X: x, Y: r.Metrics[metricCPU].Median})
		}
		if len(ch.lines) > 0 {
			cs = append(cs, ch)
		}
	}
	return cs
}

// logTicks are those of a logarithmic axis, with whole numbers.
func logTicks(least, most float64) []plot.Tick {
	ticks := plot.LogTicks{}.Ticks(least, most)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = strings.TrimSuffix(number(ticks[i].Value), ".0")
		}
	}
	return ticks
}

// svg draws the chart.
func (c *chart) svg() ([]byte, error) {
	p := plot.New()
	p.Title.Text = "Client CPU a message against " + c.x
	p.X.Label.Text = c.x
	p.Y.Label.Text = "µs of CPU a message"
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = plot.TickerFunc(logTicks)
	p.Y.Min = 0
	// The texts come after the lines and have room to the right: a viewer's
	// letters may be wider than those that the layout was made with.
	p.Legend.Top, p.Legend.Left, p.Legend.XOffs = true, true, 8*vg.Centimeter
	p.Legend.Padding = vg.Points(4)
	p.Add(plotter.NewGrid())
	for i, l := range c.lines {
		ln, points, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return nil, fmt.Errorf("chart of %s: %w", c.name, err)
		}
		ln.Color, points.Color = plotutil.Color(i), plotutil.Color(i)
		ln.Width = vg.Points(1.5)
		p.Add(ln, points)
		p.Legend.Add(l.peer, ln, points)
	}
	p.Y.Max *= 1.2 // room for the legend
	canvas := vgsvg.New(16*vg.Centimeter, 9*vg.Centimeter)
	p.Draw(draw.Crop(draw.New(canvas), vg.Points(4), -vg.Points(28), vg.Points(4), -vg.Points(8)))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
