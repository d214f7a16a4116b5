package console

import (
	"context"
	"fmt"
	"net/http"

	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/handler"
)

// An editPage changes a letter and sends it back.
type editPage struct{ *Console }

// editData is what the page shows.
type editData struct {
	Queue, URL, Place string
	Letter            *seen
	// Fields are what the viewer has typed, or what the letter has. Wrong is the fault of
	// the form.
	Fields edited
	Wrong  string
	Cost   cost
}

func (p editPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.mayWrite(w, r) {
		return
	}
	q := p.find(w, r)
	if q == nil {
		return
	}
	one, _ := p.letter(w, r, q)
	if one == nil {
		return
	}
	if !one.editable(&p.c) {
		p.fail(w, r, http.StatusConflict, "The body cannot be edited here: it is hidden, not text, or too large to have been kept whole.")
		return
	}
	d := editData{Queue: q.queue.Name, URL: config.Redact(q.queue.URL()), Letter: one, Fields: newEdited(one.Message)}
	if c, err := costOf(r.Context(), q); err == nil { // else opening says why below
		d.Cost = c
	}
	status := http.StatusOK
	if r.Method == http.MethodPost {
		d.Fields = editedOf(r, one.Message)
		attributes, err := d.Fields.attributes()
		switch {
		case err != nil:
			d.Wrong, status = err.Error(), http.StatusUnprocessableEntity
		case r.PostFormValue("confirm") != d.Queue:
			d.Wrong, status = "To confirm, type the name of the queue: "+d.Queue, http.StatusUnprocessableEntity
		case d.Cost.Risky && !spends(r):
			d.Wrong, status = "Looking may move letters away. Tick the box to do it all the same.", http.StatusConflict
		default:
			p.start(w, r, q, d, attributes, spends(r))
			return
		}
	}
	if s, err := q.open(r.Context()); err == nil {
		d.Place = place(s)
	}
	p.show(w, r, status, "edit", &view{Title: "Edit and bring back", At: "queues", Data: d})
}

// start sends the changed letter back, and leads to the progress.
func (p editPage) start(w http.ResponseWriter, r *http.Request, q *watched, d editData, attributes map[string]string, spend bool) {
	id := d.Letter.Message.ID
	p.do(w, r, q, "Edit and bring back", "edited a dead letter and brought it back", "letter "+id, func(ctx context.Context, t *task) (string, error) {
		t.set(0, 1)
		s, err := q.open(ctx)
		if err != nil {
			return "", err
		}
		sent, err := redrive.Edit(ctx, s, id, &redrive.EditOptions{SpendAttempts: spend}, func(_ context.Context, m *handler.Message) (*handler.Message, error) {
			d.Fields.apply(m, attributes)
			return m, nil
		})
		if err != nil || sent == nil {
			return "", err
		}
		q.look.forget(map[string]bool{id: true})
		q.count(ctx)
		t.set(1, 1)
		return fmt.Sprintf("letter %s brought back with a body of %d bytes", id, len(d.Fields.Body)), nil
	})
}
