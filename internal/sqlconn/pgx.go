package sqlconn

import (
	"database/sql"
	"reflect"
)

// Mode returns the value that goes before a statement's arguments and makes pgx run
// the statement without preparing it by name, or nil
// if db's driver is another. A pooler in transaction mode, such as PgBouncer, gives
// each statement whichever connection of the server is free; by default pgx prepares
// statements by name, and finds there that the name exists already (42P05) or that
// it does not (26000). A program that uses SQLite must not link pgx for the sake of
// one constant, so the type is taken from the driver's own.
func Mode(db *sql.DB) any {
	d := reflect.TypeOf(db.Driver())
	if d == nil || d.Kind() != reflect.Pointer || d.Elem().PkgPath() != "github.com/jackc/pgx/v5/stdlib" {
		return nil
	}
	configs, ok := d.Elem().FieldByName("configs") // map[string]*pgx.ConnConfig
	if !ok || configs.Type.Kind() != reflect.Map || configs.Type.Elem().Kind() != reflect.Pointer {
		return nil
	}
	mode, ok := configs.Type.Elem().Elem().FieldByName("DefaultQueryExecMode")
	if !ok || mode.Type.Kind() != reflect.Int32 {
		return nil
	}
	v := reflect.New(mode.Type).Elem()
	for i := range int64(16) {
		v.SetInt(i)
		if s, ok := v.Interface().(interface{ String() string }); ok && s.String() == "exec" {
			return v.Interface()
		}
	}
	return nil
}
