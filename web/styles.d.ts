/** What esbuild takes out of the scripts and puts beside them. */
declare module '*.css';
