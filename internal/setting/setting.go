// Package setting copies configurations, fills in their defaults and checks their
// bounds. A configuration's constructor calls it with a table of one row a field:
//
//	d := setting.Copy(config)
//	err := errors.Join(
//		setting.Default("Workers", &d.Workers, 16),
//		setting.Range("Ratio", &d.Ratio, 0, 1, 0.5),
//		setting.NotNil("Observers", d.Observers),
//	)
//
// Every row is nil or a fault, all of the same wording, so that errors.Join names
// all faults of a configuration. A field whose negative values have a meaning takes
// its default by cmp.Or.
package setting

import (
	"fmt"
	"reflect"
)

// Number is the type of a field that has bounds: a count, a size, a fraction or a
// time.Duration.
type Number interface {
	~int | ~int64 | ~float64
}

// Copy returns a copy of *config, or the zero T if config is nil.
func Copy[T any](config *T) T {
	if config == nil {
		var zero T
		return zero
	}
	return *config
}

// Default sets a field that is zero to value. It returns a fault if the field is
// negative.
func Default[T Number](name string, field *T, value T) error {
	if !(*field >= 0) { // which NaN is not either
		return Refuse(true, "%s is %v: it must not be negative", name, *field)
	}
	if *field == 0 {
		*field = value
	}
	return nil
}

// NotNegative returns a fault if value is negative.
func NotNegative[T Number](name string, value T) error { return Default(name, &value, 0) }

// Positive returns a fault if value, which has no default, is zero or negative.
func Positive[T Number](name string, value T) error {
	return Refuse(!(value > 0), "%s is %v: it must be positive", name, value)
}

// Range sets a field that is zero to value. It returns a fault if the field is then
// not between least and most, both included.
func Range[T Number](name string, field *T, least, most, value T) error {
	if *field == 0 {
		*field = value
	}
	return Refuse(!(*field >= least && *field <= most), "%s is %v: it must be between %v and %v", name, *field, least, most)
}

// NotNil returns a fault for the first element of list that is nil.
func NotNil[T any](name string, list []T) error {
	for i, v := range list {
		if rv := reflect.ValueOf(&v).Elem(); nilable(rv.Kind()) && rv.IsNil() {
			return Refuse(true, "%s[%d] is nil", name, i)
		}
	}
	return nil
}

func nilable(k reflect.Kind) bool {
	return k == reflect.Interface || k == reflect.Func || k == reflect.Pointer
}

// Refuse returns a fault with the formatted text if bad is true. It is for
// conditions that no other function checks, such as fields that exclude each other.
func Refuse(bad bool, format string, args ...any) error {
	if !bad {
		return nil
	}
	return fmt.Errorf(format, args...)
}
