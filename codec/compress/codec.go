package compress

import (
	"fmt"

	"github.com/sluice-go/sluice/handler"
)

type codec struct {
	inner handler.Codec
	t     *transformer
}

func (c *codec) Encode(m *handler.Message, v any) error {
	before := encodings(m)
	for name := range before {
		delete(m.Attributes, name)
	}
	err := c.encode(m, v)
	if err != nil {
		for name, value := range before {
			m.SetAttribute(name, value)
		}
	}
	return err
}

func (c *codec) encode(m *handler.Message, v any) error {
	if err := c.inner.Encode(m, v); err != nil {
		return err
	}
	for name, e := range encodings(m) {
		return fmt.Errorf("the inner codec already set %s=%q: a body is compressed only once", name, e)
	}
	if len(m.Body) < c.t.MinBytes {
		return nil
	}
	if small := c.t.deflate(m.Body); len(small) < len(m.Body) {
		m.Body = small
		m.SetAttribute(contentEncoding, c.t.Encoding)
	}
	return nil
}

func (c *codec) Decode(m *handler.Message, v any) error {
	plain, err := c.t.inflate(m)
	if err != nil {
		return err
	}
	return c.inner.Decode(plain, v)
}
