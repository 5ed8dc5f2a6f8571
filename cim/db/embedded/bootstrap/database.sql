-- The one database of the embedded cluster; template0 so that nothing of the machine's locale comes along.
CREATE DATABASE cim TEMPLATE template0;
