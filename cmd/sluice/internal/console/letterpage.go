package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice/drivers/deadletter"
)

// A letterPage is the page of one dead letter.
type letterPage struct{ *Console }

// letterData is what the page shows.
type letterData struct {
	Queue      string
	Snap       *snapshot
	Letter     *seen
	Body       body
	Redacted   bool
	Attributes []setting
	History    []failure
	Trace      string
	CanWrite   bool
	CanEdit    bool
	Select     selection
}

// A failure is a line in the history of a letter, as a redrive has written it.
type failure struct {
	Reason   string    `json:"reason"`
	Attempt  int       `json:"attempt"`
	First    time.Time `json:"first_failed"`
	Last     time.Time `json:"last_failed"`
	Consumer string    `json:"consumer"`
}

func (p letterPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := p.find(w, r)
	if q == nil {
		return
	}
	one, snap := p.letter(w, r, q)
	if one == nil {
		return
	}
	m := one.Message
	d := letterData{Queue: q.queue.Name, Snap: snap, Letter: one, Redacted: p.c.RedactBodies, Trace: traceURL(p.c.TraceURL, m.Attributes),
		CanWrite: p.c.Write, CanEdit: one.editable(&p.c), Select: selection{ID: m.ID}}
	if !d.Redacted {
		d.Body = newBody(m.Body, one.Whole)
	}
	for name, value := range m.Attributes {
		if name != deadletter.AttributeRedriveHistory {
			d.Attributes = append(d.Attributes, setting{name, value})
		}
	}
	slices.SortFunc(d.Attributes, func(a, b setting) int { return strings.Compare(a.Name, b.Name) })
	if text := m.Attributes[deadletter.AttributeRedriveHistory]; text != "" {
		if json.Unmarshal([]byte(text), &d.History) != nil { // somebody else's
			d.History = nil
			d.Attributes = append(d.Attributes, setting{deadletter.AttributeRedriveHistory, text})
		}
	}
	slices.Reverse(d.History) // the newest first
	p.show(w, r, http.StatusOK, "letter", &view{Title: "Dead letter", At: "queues", Data: d})
}

func lettersPath(queue string) string { return "/queues/" + url.PathEscape(queue) + "/letters" }
