// The parts of Preact, its hooks and signals, and htm that the console uses, as one module.
import {h} from 'preact';
import htm from 'htm';

export {Component, createContext, createRef, Fragment, h, render} from 'preact';
export {
  useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useReducer, useRef, useState,
} from 'preact/hooks';
export {batch, computed, effect, signal, untracked, useComputed, useSignal, useSignalEffect} from '@preact/signals';
export const html = htm.bind(h);
